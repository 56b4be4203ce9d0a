package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/internal/simnet"
)

// step is a moment of a change: somebody has just sent a message of a kind, or received
// it.
type step struct {
	name string
	sent bool
	is   func(any) bool
}

func steps() (all []step) {
	for name, is := range map[string]func(any) bool{
		"Begin": item(msg.Begin), "Chunk": item(msg.Chunk), "End": item(msg.End), "Grant": item(msg.Grant),
		"Adopt": item(msg.Adopt), "Drop": item(msg.Drop), "Want": item(msg.Want), "Write": item(msg.Write),
		"Query": message[*msg.Query], "Holdings": message[*msg.Holdings], "Bye": message[*msg.Bye], "Ack": message[*msg.Ack],
		"Refused": message[*msg.Refused], "Deposed": message[*msg.Deposed],
	} {
		all = append(all, step{name + " is sent", true, is}, step{name + " is there", false, is})
	}
	slices.SortFunc(all, func(a, b step) int { return slices.Compare([]byte(a.name), []byte(b.name)) })
	return all
}

// changes are what is interrupted.
var changes = []struct {
	name   string
	begin  func(w *world)
	deaths int // that are part of it
}{
	{"join", func(w *world) { w.join() }, 0},
	{"leave", func(w *world) { w.leave("n2") }, 1},
	{"kill", func(w *world) { w.kill("n2") }, 1},
	{"wake", func(w *world) { w.freezeFor("n2", 1500*ms) }, 1},
}

// TestInterrupted lets a second fault come at each step of a change: to who sent that
// message or got it, or to one of those beside it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for k, c := range changes {
		for m, f := range []string{"kill", "fail", "freeze"} {
			t.Run(c.name+", "+f, func(t *testing.T) {
				t.Parallel()
				for i, s := range steps() {
					if !soaks() && i%29 != (k+3*m)%29 { // few of them
						continue
					}
					for _, nth := range []int{1, 3} {
						cfg := config{seed: uint64(100*i + nth), nodes: 5, clients: 3, pace: 4 * ms, replicas: c.deaths + 1, bulk: 8}
						w := settled(cfg)
						w.interrupt(s, nth, f)
						c.begin(w)
						w.run(6 * time.Second)
						w.heal()
						w.end()
						if w.failed() {
							t.Logf("%s: %s for the %d. time, then %s", c.name, s.name, nth, f)
						}
						w.report(t)
					}
				}
			})
		}
	}
}

func (w *world) interrupt(s step, nth int, fault string) {
	count := 0
	sees := func(at simnet.Addr, m any) {
		if !s.is(m) {
			return
		}
		if count++; count != nth {
			return
		}
		w.after(0, func() {
			live := w.joined()
			if i := slices.IndexFunc(live, func(n *process) bool { return n.addr == at }); w.cfg.seed%3 == 0 && i >= 0 {
				at = live[(i+1)%len(live)].addr
			}
			switch {
			case !w.bears(at) && w.runs[at].core.Joined():
			case fault == "kill":
				w.kill(at)
			case fault == "fail":
				w.failNode(at)
			default:
				w.freezeFor(at, 2*time.Second)
			}
		})
	}
	if s.sent {
		w.onSent = append(w.onSent, sees)
	} else {
		w.onReceived = append(w.onReceived, sees)
	}
}
