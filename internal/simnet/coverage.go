package simnet

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Coverage counts how often a run came by the places that it is there to reach:
// a rule that no run has put to use was not tested. A core has a hook
// func(name string) that it calls at the branches of its rules, and tests give it
// [Coverage.Sometimes]. Several goroutines may use one Coverage.
type Coverage struct {
	names  []string
	counts map[string]*atomic.Int64
}

// Expect returns a coverage of these names.
func Expect(names ...string) *Coverage {
	c := &Coverage{names: slices.Clone(names), counts: make(map[string]*atomic.Int64, len(names))}
	slices.Sort(c.names)
	c.names = slices.Compact(c.names)
	for _, name := range c.names {
		c.counts[name] = new(atomic.Int64)
	}
	return c
}

// Sometimes counts that the place of this name was reached. A name that is not
// expected panics: it was misspelt, or added to the code alone.
func (c *Coverage) Sometimes(name string) {
	n, ok := c.counts[name]
	if !ok {
		panic(fmt.Sprintf("simnet: nobody expects to come by %q", name))
	}
	n.Add(1)
}

// Count returns how often the place of this name was reached.
func (c *Coverage) Count(name string) int64 {
	if n, ok := c.counts[name]; ok {
		return n.Load()
	}
	return 0
}

// Missing returns the names that were never reached, in order. A long run fails
// unless it is empty.
func (c *Coverage) Missing() []string {
	var never []string
	for _, name := range c.names {
		if c.counts[name].Load() == 0 {
			never = append(never, name)
		}
	}
	return never
}

// String prints a line for each name, in order, with its count.
func (c *Coverage) String() string {
	var b strings.Builder
	for _, name := range c.names {
		fmt.Fprintf(&b, "%10d  %s\n", c.counts[name].Load(), name)
	}
	return b.String()
}
