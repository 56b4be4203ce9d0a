package torc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/tabletest"
)

// The examples run on a table in memory; elsewhere this is
// zk://127.0.0.1:2181/torc or memcached://127.0.0.1:11211, and the program
// imports the package of that kind.
const url = "example://"

func init() {
	torc.Register("example", func(context.Context, *torc.URL) (torc.Table, error) { return tabletest.NewMemory(), nil })
}

func open(ctx context.Context) torc.Table {
	t, err := torc.Open(ctx, url)
	if err != nil {
		log.Fatal(err)
	}
	return t
}

func Example() {
	ctx := context.Background()
	t, err := torc.Open(ctx, url)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()

	if err := t.Put(ctx, "greeting", []byte("hello")); err != nil {
		log.Fatal(err)
	}
	e, err := t.Get(ctx, "greeting")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(e.Value))
	// Output: hello
}

// An error says what was being done and to whom; errors.Is says which kind it
// is, and errors.As gives its parts.
func ExampleError() {
	ctx := context.Background()
	t := open(ctx)
	defer t.Close()

	_, err := t.Get(ctx, "nothing here")
	fmt.Println(err)
	fmt.Println(errors.Is(err, torc.ErrNotFound))
	var e *torc.Error
	if errors.As(err, &e) {
		fmt.Println(e.Op, e.Key)
	}
	// Output:
	// torc: get "nothing here": no such key
	// true
	// get nothing here
}

// Of several processes that put the same key at the same time, one succeeds. The
// TTL gives the others another chance if that one dies.
func ExampleIfAbsent() {
	ctx := context.Background()
	t := open(ctx)
	defer t.Close()

	for _, worker := range []string{"alice", "bob"} {
		err := t.Put(ctx, "leader", []byte(worker), torc.IfAbsent(), torc.TTL(time.Minute))
		switch {
		case err == nil:
			fmt.Println(worker, "leads")
		case errors.Is(err, torc.ErrExists):
			fmt.Println(worker, "follows")
		default:
			log.Fatal(err)
		}
	}
	// Output:
	// alice leads
	// bob follows
}

// A value that depends on the one before it is put with that one's version, and
// computed again if somebody else was faster.
func ExampleIfVersion() {
	ctx := context.Background()
	t := open(ctx)
	defer t.Close()

	increment := func(key string) error {
		for {
			e, err := t.Get(ctx, key)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(e.Value))
			if err != nil {
				return err
			}
			err = t.Put(ctx, key, []byte(strconv.Itoa(n+1)), torc.IfVersion(e.Version))
			if !errors.Is(err, torc.ErrConflict) {
				return err
			}
		}
	}

	if err := t.Put(ctx, "visits", []byte("41")); err != nil {
		log.Fatal(err)
	}
	if err := increment("visits"); err != nil {
		log.Fatal(err)
	}
	e, err := t.Get(ctx, "visits")
	fmt.Println(string(e.Value), err)
	// Output: 42 <nil>
}

func ExampleTable_locate() {
	ctx := context.Background()
	t := open(ctx)
	defer t.Close()

	p, err := t.Locate(ctx, "greeting")
	if err != nil {
		log.Fatal(err)
	}
	for _, owner := range p.Owners {
		fmt.Println(owner.Addr, owner.State)
	}
	// Output: memory:1 up
}

// The range goes on with each change of the members until its context is done,
// or until the loop is left.
func ExampleTable_members() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	t := open(ctx)
	defer t.Close()

	for view, err := range t.Members(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for _, m := range view.Members {
			fmt.Printf("version %d: %s is %s\n", view.Version, m.Addr, m.State)
		}
		stop() // this example has seen enough
	}
	// Output: version 1: memory:1 is up
}
