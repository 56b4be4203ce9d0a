package slots_test

import (
	"fmt"

	"github.com/torc-dht/torc/shard/slots"
)

func ExampleOf() {
	fmt.Println(slots.Of("7"), slots.Of("27727"), slots.Of("-1"))
	// Output: 7 7 27719
}

// A third server joins two: it takes a third of each one's slots, and nothing
// moves between those two.
func ExamplePlace() {
	servers := []slots.Server{
		{Addr: "127.0.0.1:1026", Boot: 0xa, Number: 1},
		{Addr: "127.0.0.1:1027", Boot: 0xb, Number: 2},
		{Addr: "127.0.0.1:1028", Boot: 0xc, Number: 3},
	}
	two := slots.Place(slots.Goal{}, servers[:2], slots.Minimal, 2)
	three := slots.Place(two, servers, slots.Minimal, 2)
	fmt.Printf("%+v\n", two.Diff(three))

	// Modulo moves more, to put the integer k with server k mod 3 + 1.
	formula := slots.Place(two, servers, slots.Modulo, 2)
	fmt.Printf("%+v\n", two.Diff(formula))
	fmt.Println(servers[formula.Rows[slots.Of("100")].Primary()].Addr)
	// Output:
	// {Primaries:9240 Backups:9240 Fills:18480}
	// {Primaries:18480 Backups:9240 Fills:18480}
	// 127.0.0.1:1027
}
