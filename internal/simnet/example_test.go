package simnet_test

import (
	"os"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
)

// pinger dials a peer, if it has one, and pings it every second; whoever is
// pinged answers.
type pinger struct {
	peer    simnet.Addr
	next    time.Duration
	ping    bool
	answers []simnet.Conn
}

func (p *pinger) Receive(_ time.Duration, c simnet.Conn, m string) {
	if m == "ping" {
		p.answers = append(p.answers, c)
	}
}
func (p *pinger) Tick(now time.Duration)                      { p.ping, p.next = true, now+time.Second }
func (p *pinger) Connected(now time.Duration, _ simnet.Conn)  { p.next = now }
func (p *pinger) Disconnected(_ time.Duration, _ simnet.Conn) { p.next = simnet.Never }
func (p *pinger) Drain(port *simnet.Port[string]) {
	if p.peer == "" {
		p.next = simnet.Never
	}
	if p.ping {
		port.SendTo(p.peer, "ping")
	}
	for _, c := range p.answers {
		port.Send(c, "pong")
	}
	p.ping, p.answers = false, nil
	port.Alarm(p.next)
}

// The trace shows what arrived, what was lost (-x), when each end learns that
// there is a connection (==) or none any more (=/), and faults (!) until they are
// over (.).
func Example() {
	n := simnet.New(simnet.Config[string]{Trace: os.Stdout})
	n.Add("a", func(p *simnet.Port[string]) simnet.Node[string] {
		p.Dial("b")
		return &pinger{peer: "b", next: simnet.Never}
	})
	n.Add("b", func(*simnet.Port[string]) simnet.Node[string] { return &pinger{} })
	n.StartAll()
	s, err := simnet.ParseSchedule(`
		at 500ms for 1200ms: freeze b
		at 2500ms for 100ms: kill b
		at 4s for 3s: cut a b
	`)
	if err != nil {
		panic(err)
	}
	n.Play(s)
	n.Run(8 * time.Second)
	// Output:
	//    0.000000 s  start a
	//    0.000000 s  start b
	//    0.000492 s  b == a#1
	//    0.000676 s  a == b#1
	//    0.000988 s  a -> b#1  ping
	//    0.001374 s  b -> a#1  pong
	//    0.500000 s  ! freeze b
	//    1.700000 s  . freeze b
	//    1.700000 s  a -> b#1  ping
	//    1.700294 s  b -> a#1  pong
	//    2.000843 s  a -> b#1  ping
	//    2.001229 s  b -> a#1  pong
	//    2.500000 s  ! kill b
	//    2.500149 s  a =/ b#1
	//    2.529231 s  a =/ b
	//    2.600000 s  . kill b
	//    2.600000 s  start b
	//    2.629024 s  b == a#2
	//    2.629254 s  a == b#2
	//    2.629657 s  a -> b#2  ping
	//    2.630099 s  b -> a#2  pong
	//    3.629400 s  a -> b#2  ping
	//    3.629547 s  b -> a#2  pong
	//    4.000000 s  ! cut a b
	//    6.246989 s  b =/ a#2
	//    6.246989 s  a -x b#2  ping
	//    6.246989 s  a -x b#2  ping
	//    6.880799 s  a -x b#2  ping
	//    6.880799 s  a =/ b#2
	//    7.000000 s  . cut a b
	//    7.916915 s  b == a#3
	//    7.917076 s  a == b#3
	//    7.917347 s  a -> b#3  ping
	//    7.917612 s  b -> a#3  pong
}
