package node

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// little is a network without surprises: what is sent arrives half a millisecond
// later, and steps are of a tenth of that.
type little struct {
	t      *testing.T
	now    time.Duration
	nodes  []*Node
	cut    map[[2]int]bool
	mail   []letter
	rnd    *rand.Rand
	ref    uint64
	got    map[uint64]Answer
	gotAt  map[uint64]time.Duration
	boots  int
	frozen map[int]bool
	tell   func(slot int, text string) // nil: events go nowhere
	lose   func(l letter) bool         // nil: nothing
}

type letter struct {
	at       time.Duration
	from, to int
	boot     [2]*Node
	m        *msg.Message
}

const step = 50 * time.Microsecond

func newLittle(t *testing.T, slots int) *little {
	w := &little{t: t, nodes: make([]*Node, slots), cut: map[[2]int]bool{}, rnd: rand.New(rand.NewPCG(1, 2)), got: map[uint64]Answer{}, gotAt: map[uint64]time.Duration{}, frozen: map[int]bool{}}
	if os.Getenv("NODE_EVENTS") != "" {
		w.tell = func(slot int, text string) { fmt.Printf("%9v %d %s\n", w.now, slot, text) }
	}
	return w
}

// startAll starts all of a table's servers, and waits until it has settled.
func startAll(t *testing.T, slots int) *little {
	t.Helper()
	w := newLittle(t, slots)
	for s := range slots {
		w.start(s)
	}
	w.settle(3 * time.Second)
	return w
}

func (w *little) start(s int) {
	w.boots++
	n := New(Config{Slot: s, Slots: len(w.nodes), Rand: rand.New(rand.NewPCG(uint64(w.boots), 7)), Wall: func(now time.Duration) uint64 { return uint64(now / 1000) }}, w.now)
	w.nodes[s] = n
	for o, p := range w.nodes {
		if p != nil && o != s && !w.cut[[2]int{s, o}] {
			n.Connected(w.now, o)
			p.Disconnected(w.now, s, false)
			p.Connected(w.now, s)
		} else if o != s {
			n.Disconnected(w.now, o, !w.cut[[2]int{s, o}])
		}
	}
}

func (w *little) kill(s int) {
	w.nodes[s] = nil
	for o, p := range w.nodes {
		if p != nil && !w.cut[[2]int{s, o}] {
			p.Disconnected(w.now, s, true)
		}
	}
}

func (w *little) sever(a, b int) { w.cut[[2]int{a, b}], w.cut[[2]int{b, a}] = true, true }
func (w *little) mend(a, b int)  { delete(w.cut, [2]int{a, b}); delete(w.cut, [2]int{b, a}) }

func (w *little) run(d time.Duration) {
	var out Output
	for end := w.now + d; w.now < end; w.now += step {
		keep := w.mail[:0]
		var due []letter
		for _, l := range w.mail {
			if l.at > w.now || w.frozen[l.to] {
				keep = append(keep, l)
			} else {
				due = append(due, l)
			}
		}
		w.mail = keep
		for _, l := range due {
			if w.nodes[l.from] == l.boot[0] && w.nodes[l.to] == l.boot[1] && l.boot[1] != nil && !w.cut[[2]int{l.from, l.to}] && (w.lose == nil || !w.lose(l)) {
				l.boot[1].Receive(w.now, l.from, l.m)
			}
		}
		for s, n := range w.nodes {
			if n == nil || w.frozen[s] {
				continue
			}
			if n.Next() <= w.now {
				n.Tick(w.now)
			}
			out.Send, out.Replies, out.Events = out.Send[:0], out.Replies[:0], out.Events[:0]
			n.Drain(&out)
			for _, o := range out.Send {
				w.mail = append(w.mail, letter{w.now + 500*time.Microsecond, s, o.Slot, [2]*Node{n, w.nodes[o.Slot]}, o.M})
			}
			for _, a := range out.Replies {
				w.got[a.Ref] = a
				w.gotAt[a.Ref] = w.now
			}
			for _, e := range out.Events {
				if w.tell != nil {
					w.tell(s, e.Text)
				}
			}
		}
	}
}

func (w *little) put(s int, key, value string) uint64 {
	w.ref++
	w.nodes[s].Do(w.now, w.ref, &msg.Op{ID: msg.OpID{Client: 77, Seq: w.ref}, Kind: msg.Put, Key: key, Value: []byte(value)})
	return w.ref
}

func (w *little) get(s int, key string) uint64 {
	w.ref++
	w.nodes[s].Do(w.now, w.ref, &msg.Op{Kind: msg.Get, Key: key})
	return w.ref
}

// want runs until ref is answered, and says what with.
func (w *little) want(ref uint64, within time.Duration) Answer {
	w.t.Helper()
	from := w.now
	for w.now < from+within {
		if a, ok := w.got[ref]; ok {
			return a
		}
		w.run(step)
	}
	w.t.Fatalf("no answer to %d within %v", ref, within)
	return Answer{}
}

func (w *little) settle(within time.Duration) time.Duration {
	w.t.Helper()
	from := w.now
	for w.now < from+within {
		good := 0
		for _, n := range w.nodes {
			if n == nil {
				continue
			}
			if s := n.Status(); s.Serving && s.Lineage.Normal {
				in := 0
				for _, m := range s.Members {
					if m.Role != Down && m.Role != Joining {
						in++
					}
				}
				if in == len(w.nodes) {
					good++
				}
			}
		}
		if good == len(w.nodes) {
			return w.now - from
		}
		w.run(step)
	}
	for _, n := range w.nodes {
		if n != nil {
			w.t.Logf("%+v", n.Status())
		}
	}
	w.t.Fatalf("not settled within %v", within)
	return 0
}

func TestSmoke(t *testing.T) {
	for slots := 1; slots <= 4; slots++ {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			w := newLittle(t, slots)
			for s := range slots {
				w.start(s)
			}
			t.Logf("settled after %v", w.settle(3*time.Second))
			for i := range 20 {
				from := w.now
				a := w.want(w.put(i%slots, "k", fmt.Sprint(i)), time.Second)
				if a.Err != nil || a.Result.Degraded != 0 || i > 0 && string(a.Result.Old) != fmt.Sprint(i-1) {
					t.Fatalf("put %d: %+v", i, a)
				}
				d1 := w.now - from
				from = w.now
				g := w.want(w.get((i+1)%slots, "k"), time.Second)
				if g.Err != nil || string(g.Result.Old) != fmt.Sprint(i) {
					t.Fatalf("get %d: %+v", i, g)
				}
				if i < slots {
					t.Logf("put at %d took %v, get at %d %v", i%slots, d1, (i+1)%slots, w.now-from)
				}
			}
		})
	}
}

// TestKills kills one after the other, the leader first, down to one, and starts
// them again.
func TestKills(t *testing.T) {
	for slots := 2; slots <= 4; slots++ {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			w := startAll(t, slots)
			value := ""
			for left := slots; left > 1; left-- {
				value = fmt.Sprint("v", left)
				leader := -1
				for s, n := range w.nodes {
					if n != nil {
						leader = n.Status().Leader
						if a := w.want(w.put(s, "k", value), time.Second); a.Err != nil {
							t.Fatal(a.Err)
						}
						break
					}
				}
				w.run(50 * time.Millisecond)
				w.kill(leader)
				from := w.now
				for s, n := range w.nodes {
					if n == nil {
						continue
					}
					a := w.want(w.get(s, "k"), 2*time.Second)
					if a.Err != nil || string(a.Result.Old) != value {
						t.Fatalf("%d left: get: %+v, want %s", left-1, a, value)
					}
					t.Logf("%d left: answered by %d after %v, label %d", left-1, s, w.now-from, a.Result.Degraded)
				}
				w.run(100 * time.Millisecond)
			}
			for s, n := range w.nodes {
				if n == nil {
					w.start(s)
				}
			}
			t.Logf("all back after %v", w.settle(3*time.Second))
			if a := w.want(w.get(0, "k"), time.Second); string(a.Result.Old) != value || a.Result.Degraded != 0 {
				t.Fatalf("get: %+v", a)
			}
		})
	}
}

// TestSplit cuts the leader off, with writes on both sides.
func TestSplit(t *testing.T) {
	for slots := 2; slots <= 4; slots++ {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			w := startAll(t, slots)
			w.want(w.put(0, "k", "before"), time.Second)
			leader := w.nodes[0].Status().Leader
			other := (leader + 1) % slots
			for s := range slots {
				if s != leader {
					w.sever(s, leader)
				}
			}
			from := w.now
			a := w.want(w.put(other, "k", "others"), 3*time.Second)
			t.Logf("others: %v %+v", w.now-from, a)
			b := w.want(w.put(leader, "j", "leader"), 3*time.Second)
			t.Logf("leader: %v %+v", w.now-from, b)
			w.run(3 * time.Second)
			for s := range slots {
				if s != leader {
					w.mend(s, leader)
				}
			}
			t.Logf("healed after %v", w.settle(5*time.Second))
			k, j := w.want(w.get(leader, "k"), time.Second), w.want(w.get(other, "j"), time.Second)
			if string(k.Result.Old) != "others" || b.Err == nil && string(j.Result.Old) != "leader" {
				t.Fatalf("k %+v j %+v", k, j)
			}
		})
	}
}
