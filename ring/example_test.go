package ring_test

import (
	"fmt"

	"github.com/torc-dht/torc/ring"
)

func Example() {
	members := []ring.Member{ // sorted by address
		{Addr: "10.0.1.1:11211"},
		{Addr: "10.0.1.2:11211"},
		{Addr: "10.0.1.3:11211", Weight: 2},
	}
	r, err := ring.New(ring.Ketama, 0, members)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []string{"apple", "pear", "plum"} {
		fmt.Print(key, ":")
		for _, i := range r.Owners(nil, key, 2) {
			fmt.Print(" ", members[i].Addr)
		}
		fmt.Println()
	}
	// Output:
	// apple: 10.0.1.1:11211 10.0.1.3:11211
	// pear: 10.0.1.1:11211 10.0.1.2:11211
	// plum: 10.0.1.2:11211 10.0.1.3:11211
}
