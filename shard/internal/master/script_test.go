package master

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

var rewrite = flag.Bool("rewrite", false, "write what TestScripts sees into testdata; read the diff before you commit it")

// script is a master and servers whose every message is in a file of testdata:
//
//	master [copies=N] [modulo] [persist] [elected] [state=NAME]   a master begins
//	hello NAME [version=N] [promised=N]  a connection; a.2 is the second process at a's address
//	report NAME [map=NAME] [leaving]     the answer to Prepare: with the map it got last, or a saved one
//	join NAME...                         both, of each
//	beat NAME... [acked=N] [full] [distrusts=NAME]
//	filled NAME TO [epoch=N]
//	gaveup NAME TO [epoch=N]             what the last HandOver to it named
//	drop NAME COPY [epoch=N]
//	leave NAME, close NAME, gone NAME, forget NAME, rebalance, persisted
//	tick MS [NAME...]                    time passes, in which servers beat
//	settle NAME...                       servers do what is asked for until nothing is left to do
//	save NAME                            keeps the map
//	granted NAME                         whether its last Beat was answered, with its own epoch
//	status
//
// What follows ---- is what came of it.
type script struct {
	now   int64
	m     *Master
	boots map[string]slots.Boot
	conns map[string]Conn
	names map[Conn]string
	next  Conn
	got   map[string]*slots.Map
	over  map[string]*msg.HandOver
	saved map[string]*slots.Map
	term  map[string]msg.Prepare
	n     int
	held  slots.Epoch // waits for persisted
	quiet bool
	grant map[string]slots.Epoch
	out   strings.Builder
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			runScript(t, file)
		})
	}
}

func runScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{
		now: second, boots: make(map[string]slots.Boot), conns: make(map[string]Conn), names: make(map[Conn]string),
		got: make(map[string]*slots.Map), over: make(map[string]*msg.HandOver), saved: make(map[string]*slots.Map), term: make(map[string]msg.Prepare),
		grant: make(map[string]slots.Epoch),
	}
	var seen strings.Builder
	in, expected := bufio.NewScanner(strings.NewReader(string(data))), false
	for in.Scan() {
		line := in.Text()
		switch {
		case line == "----":
			expected = true
			fmt.Fprintf(&seen, "----\n%s", s.out.String())
			s.out.Reset()
		case expected && line != "":
		case line == "" || line[0] == '#':
			expected = false
			fmt.Fprintln(&seen, line)
		default:
			fmt.Fprintln(&seen, line)
			s.command(t, strings.Fields(line))
		}
	}
	if seen.String() == string(data) {
		return
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(seen.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, is := strings.Split(string(data), "\n"), strings.Split(seen.String(), "\n")
	for i := range is {
		if i >= len(was) || was[i] != is[i] {
			t.Fatalf("%s:%d: %s", file, i+1, is[i])
		}
	}
}

// options splits words with a = or without a meaning as a name from the others.
func options(words []string) (names []string, opt map[string]string) {
	opt = make(map[string]string)
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			opt[k] = v
		} else if slices.Contains([]string{"modulo", "persist", "elected", "leaving", "full"}, w) {
			opt[w] = "yes"
		} else {
			names = append(names, w)
		}
	}
	return names, opt
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func (s *script) boot(name string) slots.Boot {
	if s.boots[name] == 0 {
		s.boots[name] = slots.Boot(len(s.boots) + 1)
	}
	return s.boots[name]
}

func (s *script) nameOf(b slots.Boot) string {
	for name, c := range s.boots {
		if c == b {
			return name
		}
	}
	return b.String()
}

func (s *script) epoch(opt map[string]string) slots.Epoch {
	e := s.m.newest.Epoch
	if v, ok := opt["epoch"]; ok {
		e.Counter = number(v)
	}
	return e
}

func (s *script) command(t *testing.T, words []string) {
	names, opt := options(words[1:])
	for _, n := range names {
		if words[0] != "tick" && words[0] != "save" {
			s.boot(n)
		}
	}
	switch words[0] {
	case "master":
		s.master(opt)
	case "hello":
		s.hello(names[0], opt)
	case "report":
		s.report(names[0], opt)
	case "join":
		for _, n := range names {
			s.hello(n, opt)
			s.report(n, opt)
		}
	case "beat":
		for _, n := range names {
			s.beat(n, opt)
		}
	case "filled":
		s.send(names[0], &msg.Filled{Epoch: s.epoch(opt), Boot: s.boot(names[1])})
	case "gaveup":
		if s.over[names[0]+names[1]] == nil {
			t.Fatalf("%s was not asked to hand over to %s:\n%s", names[0], names[1], s.out.String())
		}
		s.send(names[0], &msg.GaveUp{Epoch: s.epoch(opt), To: s.boot(names[1]), Slots: s.over[names[0]+names[1]].Slots})
	case "drop":
		s.send(names[0], &msg.DropCopy{Epoch: s.epoch(opt), Boot: s.boot(names[1])})
	case "leave":
		s.send(names[0], &msg.Leave{})
	case "close":
		c := s.conns[names[0]]
		delete(s.conns, names[0])
		s.m.Disconnected(s.now, c)
	case "gone":
		s.m.Gone(s.now, s.boot(names[0]))
	case "forget":
		if err := s.m.Forget(s.now, addrOf(names[0]), s.boots[opt["answers"]]); err != nil {
			fmt.Fprintln(&s.out, "refused:", err)
		}
	case "rebalance":
		s.m.Rebalance(s.now)
	case "persisted":
		s.m.Persisted(s.now, s.held)
	case "tick":
		s.tick(int64(number(names[0]))*ms, names[1:])
	case "settle":
		s.settle(names)
	case "save":
		s.saved[names[0]] = s.m.Map()
	case "granted":
		clear(s.grant)
		s.beat(names[0], nil)
		e, ok := s.grant[names[0]]
		fmt.Fprintln(&s.out, ok && e == s.got[names[0]].Epoch)
	case "status":
		s.status()
	default:
		t.Fatalf("what is %q?", words[0])
	}
	s.drain()
}

func (s *script) master(opt map[string]string) {
	s.n++
	clear(s.conns)
	cfg := Config{Boot: slots.Boot(1000 + s.n), Start: s.now, Recovered: s.saved[opt["state"]]}
	cfg.Copies = int(number(opt["copies"]))
	_, cfg.Persist = opt["persist"]
	_, cfg.Elected = opt["elected"]
	if opt["modulo"] != "" {
		cfg.Placement = slots.Modulo
	}
	s.m = New(s.now, cfg)
}

// addrOf is the address of a process: a.2 is at a's.
func addrOf(name string) string {
	host, _, _ := strings.Cut(name, ".")
	return host + ":1"
}

func (s *script) hello(name string, opt map[string]string) {
	h := &msg.Hello{Version: msg.Version, Addr: addrOf(name), Boot: s.boot(name)}
	if v, ok := opt["version"]; ok {
		h.Version = uint32(number(v))
	}
	if v, ok := opt["promised"]; ok {
		h.Promised = slots.Epoch{Term: s.m.term + number(v), Boot: 99}
	}
	if v, ok := opt["addr"]; ok {
		h.Addr = v
	}
	s.next++
	s.conns[name], s.names[s.next] = s.next, name
	s.m.Connected(s.now, s.next)
	s.m.Receive(s.now, s.next, h)
	s.drain()
}

func (s *script) report(name string, opt map[string]string) {
	p := s.term[name]
	r := &msg.Report{Term: p.Term, Boot: p.Boot, Map: s.got[name], Leaving: opt["leaving"] != ""}
	if v, ok := opt["map"]; ok {
		r.Map = s.saved[v]
	}
	if r.Map != nil {
		r.Acked = r.Map.Epoch
	}
	s.send(name, r)
	s.drain()
}

func (s *script) send(name string, m msg.Message) { s.m.Receive(s.now, s.conns[name], m) }

func (s *script) beat(name string, opt map[string]string) {
	b := &msg.Beat{Sent: s.now, Full: opt["full"] != ""}
	if m := s.got[name]; m != nil {
		b.Epoch, b.Acked = m.Epoch, m.Epoch
	}
	if v, ok := opt["acked"]; ok {
		b.Acked.Counter = number(v)
	}
	if v, ok := opt["distrusts"]; ok {
		b.Distrusted = []slots.Boot{s.boot(v)}
	}
	s.send(name, b)
	s.drain()
}

func (s *script) tick(d int64, beats []string) {
	for end := s.now + d; s.now < end; {
		s.now = min(end, max(s.now+1, min(s.m.NextTick(), s.now+50*ms)))
		for _, n := range beats {
			if s.got[n] == nil || s.now%(100*ms) != 0 {
				s.send(n, &msg.Beat{Sent: s.now, Epoch: s.m.epoch()})
			} else {
				s.beat(n, nil)
			}
		}
		s.m.Tick(s.now)
		s.drain()
	}
}

// settle has servers fill, acknowledge and hand over until nothing changes.
func (s *script) settle(names []string) {
	s.quiet = true
	for range 400 {
		for _, n := range names {
			s.beat(n, nil)
			m := s.m.Map()
			if m == nil {
				continue
			}
			me := m.Index(s.boot(n))
			for i := range m.Servers {
				for r := range m.Rows {
					if st, ok := m.Rows[r].Copy(int16(i)); ok && st == slots.Filling && m.Rows[r].Primary == me {
						s.send(n, &msg.Filled{Epoch: m.Epoch, Boot: m.Servers[i].Boot})
						break
					}
				}
				if h := s.over[n+s.nameOf(m.Servers[i].Boot)]; h != nil && h.Epoch == m.Epoch {
					s.send(n, &msg.GaveUp{Epoch: m.Epoch, To: h.To, Slots: h.Slots})
				}
			}
			s.drain()
		}
		s.now += 3 * ms
		s.m.Tick(s.now)
		s.drain()
		if s.m.Status(s.now).Settled {
			break
		}
	}
	s.quiet = false
	fmt.Fprintln(&s.out, named(summary(s.m.Map())))
}

func named(s string) string { return strings.ReplaceAll(s, ":1", "") }

// drain notes what the master does, and gives servers their maps.
func (s *script) drain() {
	out := s.m.Drain()
	var maps []string
	for _, e := range out.Send {
		name := s.names[e.To]
		switch m := e.Message.(type) {
		case *msg.MapUpdate:
			maps = append(maps, name)
			s.got[name] = m.Map
		case *msg.Prepare:
			s.term[name] = *m
		case *msg.HandOver:
			s.over[name+s.nameOf(m.To)] = m
			s.note("%s: hand over to %s: %d slots", name, s.nameOf(m.To), len(m.Slots))
		case *msg.Refuse:
			s.note("%s: refused: %s", name, m.Reason)
		case *msg.Granted:
			s.grant[name] = m.Epoch
		default:
			s.note("%s: %s", name, strings.TrimPrefix(fmt.Sprintf("%T", m), "*msg."))
		}
	}
	if len(maps) > 0 {
		s.note("%s", named(summary(s.m.Map())))
		s.note("\tto %s", strings.Join(maps, " "))
	}
	for _, c := range out.Close {
		s.note("%s: closed", s.names[c])
	}
	if out.Persist != nil {
		s.held = out.Persist.Epoch
		s.note("persist %s", named(summary(out.Persist)))
	}
}

func (s *script) note(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(&s.out, format+"\n", args...)
	}
}

func (s *script) status() {
	st := s.m.Status(s.now)
	for _, v := range st.Servers {
		fmt.Fprintf(&s.out, "%d %s %s: %d primaries, %d in sync, %d joining, %d filling; %d wait for it\n",
			v.Number, v.Addr, v.State, v.Primaries, v.InSync, v.Joining, v.Filling, v.WaitFor)
	}
	fmt.Fprintf(&s.out, "%d on one server, %d failed, %d held, settled: %v\n", st.Single, st.Failed, st.Held, st.Settled)
}
