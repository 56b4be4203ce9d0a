package script_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/torc-dht/torc/script"
	"github.com/torc-dht/torc/tabletest"
)

func ExampleRunner_Run() {
	file := `# greet
PUT greeting, hello, world
GET greeting
DELETE greeting
GET greeting
`
	commands, err := script.Parse("greet.txt", strings.NewReader(file))
	if err != nil {
		fmt.Println(err)
		return
	}
	r := script.Runner{Table: tabletest.NewMemory(), Name: "greet.txt", Stdout: os.Stdout, Stderr: os.Stderr}
	failed, err := r.Run(context.Background(), commands)
	fmt.Println(failed, err)
	// Output:
	// hello, world
	// 0 <nil>
}

func ExampleParse() {
	_, err := script.Parse("greet.txt", strings.NewReader("GET greeting\nPUT greeting hello\nSLEEP a while\n"))
	fmt.Println(err)
	// Output:
	// greet.txt:2: PUT needs a comma: PUT key, value
	// greet.txt:3: SLEEP takes a whole number of milliseconds, not "a while"
}
