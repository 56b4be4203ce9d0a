package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// stage is two clients of one fleet, each of which hears of a view when it is told.
type stage struct {
	t       *testing.T
	config  Config
	version uint64
	past    []Past
	clients []*actor
}

type actor struct {
	*Table
	dir *fakeDirectory
}

// newStage begins with two clients that know of members.
func newStage(t *testing.T, config Config, members ...Server) *stage {
	s := &stage{t: t, config: config.WithDefaults()}
	first := s.view(members...)
	for range 2 {
		d := newFakeDirectory()
		go func() { d.views <- first }()
		table, err := New(t.Context(), d, Options{Config: config})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { table.Close() })
		s.clients = append(s.clients, &actor{table, d})
	}
	return s
}

// view makes a new view that nobody has heard of.
func (s *stage) view(members ...Server) Membership {
	s.version++
	members = slices.Clone(members)
	for i := range members {
		members[i].Weight, members[i].Incarnation = 1, "1"
	}
	slices.SortFunc(members, func(a, b Server) int { return compareAddr(a, b) })
	m := Membership{Generation: 1, Version: s.version, Config: s.config, Servers: members, Past: slices.Clone(s.past)}
	s.past = append(s.past, Past{Version: s.version, Recorded: time.Now(), Servers: members})
	return m
}

func compareAddr(a, b Server) int {
	switch {
	case a.Addr < b.Addr:
		return -1
	case a.Addr > b.Addr:
		return 1
	}
	return 0
}

// hear tells a client of m, and returns when it goes by it.
func (s *stage) hear(c *actor, m Membership) {
	c.dir.views <- m
	waitVersion(s.t, c.Table, m.Version)
}

// write is one that a test has a client make.
type writing struct {
	name string
	call func(ctx context.Context, t *Table, key string) error
	left string // what a read finds afterwards; "" is nothing
}

// writings are the calls that are carried out again where they have to be.
var writings = []writing{
	{"put", func(ctx context.Context, t *Table, key string) error { return t.Put(ctx, key, []byte("x")) }, "x"},
	{"put with a TTL", func(ctx context.Context, t *Table, key string) error {
		return t.Put(ctx, key, []byte("x"), torc.TTL(time.Hour))
	}, "x"},
	{"delete", func(ctx context.Context, t *Table, key string) error { return t.Delete(ctx, key) }, ""},
}

// eachWriting runs a test for each write in each mode, with one and three copies.
func eachWriting(t *testing.T, test func(t *testing.T, config Config, w writing)) {
	for _, config := range []Config{
		{Stamps: StampsOn},
		{Stamps: StampsOn, Rejoin: RejoinDrop},
		{Copies: 3, Stamps: StampsOn},
		{Copies: 3, Stamps: StampsOn, Rejoin: RejoinDrop},
		{},
		{Copies: 3},
	} {
		for _, w := range writings {
			t.Run(fmt.Sprintf("%s,copies=%d,stamps=%s,rejoin=%s", w.name, max(config.Copies, 1), config.Stamps, config.Rejoin), func(t *testing.T) {
				t.Parallel()
				test(t, config, w)
			})
		}
	}
}

// twice says whether w deletes everywhere two times: without tombstones nothing
// else keeps copies of what is deleted from coming back.
func twice(config Config, w writing) bool {
	return w.left == "" && config.Copies > 1 && config.Stamps != StampsOn
}

// isChange says whether r is a Set or a Delete.
func isChange(r *memcache.Request) bool { return r.Op == memcache.OpSet || r.Op == memcache.OpDelete }

// expect checks what a client reads; "" is a miss.
func (c *actor) expect(t *testing.T, key, want string) {
	t.Helper()
	e, err := c.Get(t.Context(), key)
	if err != nil && !errors.Is(err, torc.ErrNotFound) || string(e.Value) != want {
		t.Fatalf("Get = %q, %v, want %q", e.Value, err, want)
	}
}

// With one copy, and nobody else who may hold the key, a Put is one request.
func TestPutIsOneRequest(t *testing.T) {
	t.Parallel()
	for _, stamps := range []string{StampsOff, StampsOn} {
		table, _, servers, key := gatedTable(t, 1, Options{Config: Config{Stamps: stamps}})
		for range 3 {
			mustPut(t, table, key, "v")
		}
		if n := servers[0].asked.Load(); n != 3 {
			t.Errorf("stamps=%s: %d requests for 3 puts", stamps, n)
		}
	}
}

// A write was carried out, another client has read that and put something newer,
// and then a server comes back that held the key before and has to forget it. The
// newer value stays.
func TestWriteIsNotRepeatedWhereItsOwnersStay(t *testing.T) {
	t.Parallel()
	eachWriting(t, func(t *testing.T, config Config, w writing) {
		if twice(config, w) {
			t.Skip("it is carried out twice in any case")
		}
		n := max(config.Copies, 1)
		var servers []*gated
		by := make(map[string]*gated)
		for range n + 1 {
			g := startGated(t)
			servers, by[g.addr] = append(servers, g), g
		}
		var all []Server
		for _, addr := range addrsOf(servers...) {
			all = append(all, Server{Addr: addr})
		}
		s := newStage(t, config, all...)
		const key = "k"
		order := inOrder(t, s.clients[0].Table, key, by)
		spare, rest := order[0], order[1:] // the first owner of the view that was
		var others []Server
		for _, g := range rest {
			others = append(others, Server{Addr: g.addr})
		}
		without := s.view(others...)
		s.hear(s.clients[0], without)
		s.hear(s.clients[1], without)
		mustPut(t, s.clients[1].Table, key, "old")
		first := inOrder(t, s.clients[0].Table, key, by)[0]

		met, release := first.holdAnswer(t, isChange)
		done := make(chan error)
		go func() { done <- w.call(t.Context(), s.clients[0].Table, key) }()
		<-met
		back := s.view(append([]Server{{Addr: spare.addr, Drained: true}}, others...)...)
		s.clients[1].expect(t, key, w.left)
		mustPut(t, s.clients[1].Table, key, "newer")
		s.hear(s.clients[0], back)
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		s.hear(s.clients[1], back)
		for _, c := range s.clients {
			c.expect(t, key, "newer")
		}
	})
}

// begin has newStage begin with n servers, and returns them as key's owners come,
// and then the others.
func begin(t *testing.T, config Config, n int, key string) (*stage, []*gated) {
	by := make(map[string]*gated)
	var members []Server
	for range n {
		g := startGated(t)
		by[g.addr], members = g, append(members, Server{Addr: g.addr})
	}
	s := newStage(t, config, members...)
	return s, inOrder(t, s.clients[0].Table, key, by)
}

// The answer to a write is lost. Where it is still what counts, it is not sent again.
func TestLostAnswerIsLookedFor(t *testing.T) {
	t.Parallel()
	eachWriting(t, func(t *testing.T, config Config, w writing) {
		if twice(config, w) {
			t.Skip("it is carried out twice in any case")
		}
		const key = "k"
		s, order := begin(t, config, max(config.Copies, 1)+1, key)
		mustPut(t, s.clients[1].Table, key, "old")
		changes := 0 // the converger's are none of the first owner's
		order[0].loseAnswer(func(r *memcache.Request) bool {
			if isChange(r) {
				changes++
			}
			return isChange(r)
		}, nil)
		if err := w.call(t.Context(), s.clients[0].Table, key); err != nil {
			t.Fatal(err)
		}
		if changes != 1 && !(w.left == "" && config.Copies > 1) { // a tombstone may be renewed over itself
			t.Errorf("the first owner was sent %d changes, want one", changes)
		}
		for _, c := range s.clients {
			c.expect(t, key, w.left)
		}
	})
}

// The answer to a write with a condition is lost, and others have written when its
// client looks. Theirs stays, since it is newer.
func TestLostAnswerThenOvertaken(t *testing.T) {
	t.Parallel()
	eachWriting(t, func(t *testing.T, config Config, w writing) {
		if twice(config, w) {
			t.Skip("it is carried out twice in any case")
		}
		const key = "k"
		s, order := begin(t, config, max(config.Copies, 1)+1, key)
		mustPut(t, s.clients[1].Table, key, "old")
		first := order[0]
		again := make(chan struct{})
		second := func() { // the answer to the one sent again is lost too, and then it is overwritten
			first.loseAnswer(isChange, func() {
				first.exit.Store(nil)
				s.clients[1].expect(t, key, w.left)
				mustPut(t, s.clients[1].Table, key, "newer")
				close(again)
			})
		}
		if w.left == "" && config.Stamps == StampsOn {
			second() // a Delete has a condition from the beginning
		} else {
			// The first request comes to nothing, and its client can't know.
			gate := func(r *memcache.Request) {
				if isChange(r) {
					first.gate.Store(nil)
					second()
					panic("the connection breaks")
				}
			}
			first.gate.Store(&gate)
		}
		if err := w.call(t.Context(), s.clients[0].Table, key); err != nil {
			t.Fatal(err)
		}
		<-again
		for _, c := range s.clients {
			c.expect(t, key, "newer")
		}
		settled(t, s.clients[0].Table)
		for _, g := range order[:max(config.Copies, 1)] {
			eventually(t, func() string {
				if v := g.value(key); v != "newer" {
					return fmt.Sprintf("an owner has %q", v)
				}
				return ""
			})
		}
	})
}

// moves begins with a key of one copy that moves, from a server that is drained to
// another one.
func moves(t *testing.T, config Config, key string) (s *stage, from, to *gated, drained Membership) {
	s, order := begin(t, config, 2, key)
	from, to = order[0], order[1]
	mustPut(t, s.clients[1].Table, key, "old")
	return s, from, to, s.view(Server{Addr: from.addr, Drained: true}, Server{Addr: to.addr})
}

// A write was carried out, and read; then its key has moved, and others have put
// something newer where it is now. That stays.
func TestWriteIsNotRepeatedWhereItsKeyMoved(t *testing.T) {
	t.Parallel()
	eachWriting(t, func(t *testing.T, config Config, w writing) {
		if config.Copies > 1 || config.Stamps != StampsOn || w.left == "" {
			t.Skip("nothing tells who came first")
		}
		const key = "k"
		s, from, _, drained := moves(t, config, key)
		met, release := from.holdAnswer(t, isChange)
		done := make(chan error)
		go func() { done <- w.call(t.Context(), s.clients[0].Table, key) }()
		<-met
		s.clients[1].expect(t, key, w.left)
		s.hear(s.clients[1], drained)
		s.clients[1].expect(t, key, w.left)
		mustPut(t, s.clients[1].Table, key, "newer")
		s.hear(s.clients[0], drained)
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, c := range s.clients {
			c.expect(t, key, "newer")
		}
	})
}

// The other way round: others have written where the key is now, and then a client
// that has not heard of that writes where it was. It comes last, and stays.
func TestWriteIsRepeatedOverWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	eachWriting(t, func(t *testing.T, config Config, w writing) {
		if config.Copies > 1 || config.Stamps != StampsOn {
			t.Skip("the key does not move, or nobody knows where it was")
		}
		for _, copied := range []bool{false, true} {
			const key = "k"
			s, from, _, drained := moves(t, config, key)
			want := "old"
			s.hear(s.clients[1], drained)
			if copied { // by a read, and that is older too
				s.clients[1].expect(t, key, want)
			} else {
				want = "older"
				mustPut(t, s.clients[1].Table, key, want)
			}
			met, release := from.holdAnswer(t, isLook) // of a Delete
			if w.left != "" {
				met, release = from.holdAnswer(t, isChange)
			}
			done := make(chan error)
			go func() { done <- w.call(t.Context(), s.clients[0].Table, key) }()
			<-met
			s.hear(s.clients[0], drained)
			s.clients[1].expect(t, key, want)
			release()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for _, c := range s.clients {
				c.expect(t, key, w.left)
			}
		}
	})
}

// A server that has not been told to forget the key goes away while a write is under
// way, which was carried out as if nobody could come back. It outlasts that server's
// absence all the same.
func TestWriteOutlastsWhoGoesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, w := range writings[1:] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			const key = "k"
			s, order := begin(t, Config{Stamps: StampsOn}, 2, key)
			former, owner := order[0], order[1]
			mustPut(t, s.clients[1].Table, key, "old")
			here := []Server{{Addr: former.addr, Drained: true}, {Addr: owner.addr}}
			drained := s.view(here...)
			s.hear(s.clients[0], drained)
			s.clients[0].expect(t, key, "old") // and now the owner has a copy
			met, _ := former.hold(t, isOp(memcache.OpDelete))
			done := make(chan error)
			go func() { done <- w.call(t.Context(), s.clients[0].Table, key) }()
			<-met
			cas := owner.item(key).CAS
			s.hear(s.clients[0], s.view(here[1]))
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			it := owner.item(key)
			if left := time.Until(time.Unix(0, it.Expires)); !fence.Stamp(it.Flags).Lingers() || left < fence.Linger-time.Minute {
				t.Errorf("it stays for %v, flags %#x", left, it.Flags)
			}
			if it.CAS == cas {
				t.Error("it was not written anew")
			}
		})
	}
}

// The first owner is the same server after as before, and was none between, when
// others wrote: what it has does not count, and is written anew.
func TestWriteIsRepeatedWhereItNoLongerCounts(t *testing.T) {
	t.Parallel()
	for _, stays := range []bool{false, true} { // who had the key between
		for _, config := range []Config{{Stamps: StampsOn}, {Stamps: StampsOn, Rejoin: RejoinDrop}} {
			for _, w := range writings {
				t.Run(fmt.Sprintf("%s,rejoin=%s,stays=%v", w.name, config.Rejoin, stays), func(t *testing.T) {
					t.Parallel()
					const key = "k"
					s, from, to, drained := moves(t, config, key)
					s.hear(s.clients[1], drained)
					mustPut(t, s.clients[1].Table, key, "older")
					met, release := from.holdAnswer(t, isLook) // of a Delete
					if w.left != "" {
						met, release = from.holdAnswer(t, isChange)
					}
					done := make(chan error)
					go func() { done <- w.call(t.Context(), s.clients[0].Table, key) }()
					<-met
					undrained := []Server{{Addr: from.addr}, {Addr: to.addr}}
					if !stays {
						undrained = undrained[:1]
					}
					now := s.view(undrained...)
					s.hear(s.clients[0], now)
					release()
					// With nobody left who knows that there was something, a Delete has found nothing.
					if err := <-done; err != nil && (stays || !errors.Is(err, torc.ErrNotFound)) {
						t.Fatal(err)
					}
					s.hear(s.clients[1], now)
					for _, c := range s.clients {
						c.expect(t, key, w.left)
					}
				})
			}
		}
	}
}

// A server leaves that was about to be told to forget what nobody has: a Delete
// has found nothing all the same.
func TestDeleteOfNothingWhileFormerLeaves(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{{Stamps: StampsOn}, {Stamps: StampsOn, Rejoin: RejoinDrop}, {Copies: 3, Stamps: StampsOn}} {
		n := max(config.Copies, 1)
		table, dir, servers, key := gatedTable(t, n+1, Options{Config: config})
		here := []Server{{Addr: servers[0].addr, Drained: true}}
		for _, g := range servers[1:] {
			here = append(here, Server{Addr: g.addr})
		}
		dir.setServers(here...)
		waitVersion(t, table, 2)
		met, _ := servers[0].hold(t, isOp(memcache.OpDelete))
		done := make(chan error)
		go func() { done <- table.Delete(t.Context(), key) }()
		<-met
		dir.setServers(here[1:]...)
		if err := <-done; !errors.Is(err, torc.ErrNotFound) {
			t.Errorf("%+v: Delete = %v, want that there is none", config, err)
		}
	}
}
