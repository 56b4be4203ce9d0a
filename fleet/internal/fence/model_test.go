package fence

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fleetModel is a fleet that has one key, with clients that go by the rules of
// the package's documentation, and everything a fault can do to its servers.
type fleetModel struct {
	pick   func(what string, n int) int // below n
	cfg    Config
	rejoin Rejoin
	key    string

	servers  map[string]*modelServer
	version  uint64
	recorded []View
	done     uint64
	last     int // the value written last
	seen     int // no older value may be read
	log      strings.Builder
	reached  map[string]int
	broken   string // a rule that is left out: a planted bug
}

type modelServer struct {
	announced, drained bool
	incarnation        int
	item               *modelItem
}

type modelItem struct {
	value   int // unique, rising
	dead    bool
	version uint64
}

var modelNow = time.Unix(1_000_000, 0)

func (f *fleetModel) say(format string, args ...any) { fmt.Fprintf(&f.log, format+"\n", args...) }

func (f *fleetModel) view() View {
	v := View{Version: f.version, Recorded: modelNow}
	for _, addr := range slices.Sorted(maps.Keys(f.servers)) {
		if s := f.servers[addr]; s.announced {
			v.Members = append(v.Members, Member{Addr: addr, Weight: 1, Drained: s.drained, Incarnation: fmt.Sprint(s.incarnation)})
		}
	}
	return v
}

func (f *fleetModel) history() *History {
	h, err := NewHistory(f.cfg, slices.Clone(f.recorded), f.view(), f.done, f.rejoin, nil)
	if err != nil {
		panic(err)
	}
	return h
}

// record writes the present view down, as whoever writes under it does first.
func (f *fleetModel) record() {
	if n := len(f.recorded); n == 0 || f.recorded[n-1].Version != f.version {
		f.recorded = append(f.recorded, f.view())
	}
}

func (f *fleetModel) at(h *History, m int) *modelServer { return f.servers[h.now.Members[m].Addr] }

// change changes the members.
func (f *fleetModel) change() {
	addr := f.anyServer()
	s := f.servers[addr]
	f.version++
	switch what := f.choose("change", "move", "move", "move", "drain", "restart"); {
	case what == "drain":
		s.drained = !s.drained
		f.say("view %d: drained of %s is %v", f.version, addr, s.drained)
	case s.announced:
		s.announced = false
		f.say("view %d: %s leaves", f.version, addr)
	default:
		s.announced = true
		s.incarnation++
		if what == "restart" {
			s.item = nil
			f.reached["back empty"]++
		}
		f.say("view %d: %s comes (%s) holding %+v", f.version, addr, what, s.item)
	}
}

// write is a PUT, or a DELETE, that is carried out up to a number of steps.
func (f *fleetModel) write(remove bool, steps int) {
	f.record()
	h := f.history()
	owners := h.Owners(nil, f.key)
	if len(owners) == 0 {
		return
	}
	f.last++
	formers := h.Formers(nil, f.key, owners)
	item := modelItem{value: f.last, version: f.version, dead: remove}
	var todo []func()
	for _, o := range owners {
		todo = append(todo, func() {
			s := f.at(h, o)
			s.item = &item
			if remove && f.cfg.Copies == 1 && len(formers) == 0 && !h.Away(f.key, modelNow) || remove && f.broken == "no tombstones" {
				s.item = nil
			}
		})
	}
	forget := func() {
		if f.broken == "formers keep theirs" {
			return
		}
		for _, m := range formers {
			todo = append(todo, func() { f.at(h, m).item = nil })
		}
	}
	if f.rejoin == Drop {
		owners := todo
		todo = nil
		forget()
		todo = append(todo, owners...)
	} else {
		forget()
	}
	f.say("view %d: write %+v, %d of %d steps, owners %v, formers %v", f.version, item, min(steps, len(todo)), len(todo), f.names(h, owners), f.names(h, formers))
	for _, step := range todo[:min(steps, len(todo))] {
		step()
	}
	if steps >= len(todo) {
		f.seen = f.last
	} else {
		f.reached["unfinished write"]++
	}
	if len(formers) > 0 {
		f.reached["formers"]++
	}
}

func (f *fleetModel) names(h *History, members []int) (names []string) {
	for _, m := range members {
		names = append(names, h.now.Members[m].Addr)
	}
	return names
}

// read is a GET, with its write-back.
func (f *fleetModel) read() {
	f.record()
	h := f.history()
	owners := h.Owners(nil, f.key)
	var answers []Answer
	ask := func(m int) bool {
		if f.pick("silent", 10) == 0 {
			f.reached["silent"]++
			return false
		}
		a := Answer{Member: m}
		if it := f.at(h, m).item; it != nil {
			a.Has, a.Ours, a.Version = true, true, it.version
		}
		answers = append(answers, a)
		if f.broken == "stamps don't matter" {
			return a.Has
		}
		return a.Has && h.Counts(f.key, m, a.Version)
	}
	var got *modelItem
	for _, o := range owners {
		if ask(o) {
			got = f.at(h, o).item
			break
		}
	}
	winner, byAbsence := -1, false
	if got == nil {
		for _, m := range h.Formers(nil, f.key, owners) {
			ask(m)
		}
		if winner, byAbsence = h.Decide(f.key, answers, modelNow); winner >= 0 {
			got = f.at(h, answers[winner].Member).item
			f.reached["decided"]++
		}
	}
	f.say("view %d: read %+v, winner %d, by absence %v", f.version, got, winner, byAbsence)
	if byAbsence {
		f.reached["by absence"]++
	}
	if got == nil {
		return
	}
	if got.value < f.seen {
		panic(staleRead(fmt.Sprintf("read %d after %d\n%s", got.value, f.seen, f.log.String())))
	}
	if f.cfg.Copies == 1 {
		f.seen = got.value // with copies, only for what was answered
	}
	fresh := *got
	fresh.version = f.version
	for _, a := range answers {
		if slices.Contains(owners, a.Member) && (!a.Has || !h.Counts(f.key, a.Member, a.Version)) {
			f.at(h, a.Member).item = &fresh
		}
	}
}

// rebalance is a whole one.
func (f *fleetModel) rebalance() {
	f.record()
	h := f.history()
	owners := h.Owners(nil, f.key)
	var answers []Answer
	for m := range h.now.Members {
		if it := f.at(h, m).item; it != nil || slices.Contains(owners, m) {
			a := Answer{Member: m, Has: it != nil, Ours: true}
			if it != nil {
				a.Version = it.version
			}
			answers = append(answers, a)
		}
	}
	if len(owners) == 0 {
		return
	}
	winner, _ := h.Decide(f.key, answers, modelNow)
	var fresh *modelItem
	if winner >= 0 {
		fresh = &modelItem{}
		*fresh = *f.at(h, answers[winner].Member).item
		fresh.version = f.version
	}
	for _, a := range answers {
		if slices.Contains(owners, a.Member) {
			if fresh != nil {
				f.at(h, a.Member).item = fresh
			}
		} else {
			f.at(h, a.Member).item = nil
		}
	}
	f.done = f.version
	f.reached["rebalanced"]++
	f.say("view %d: rebalanced to %+v", f.version, fresh)
}

func (f *fleetModel) choose(what string, from ...string) string { return from[f.pick(what, len(from))] }

func (f *fleetModel) anyServer() string {
	return f.choose("server", slices.Sorted(maps.Keys(f.servers))...)
}

// staleRead is what a model panics with when it has read what it should not.
type staleRead string

// play plays a random schedule, and returns what was read that should not have
// been.
func play(pick func(what string, n int) int, broken string, reached map[string]int) (stale staleRead) {
	defer func() {
		if r := recover(); r != nil {
			found, ok := r.(staleRead)
			if !ok {
				panic(r)
			}
			stale = found
		}
	}()
	f := &fleetModel{pick: pick, servers: make(map[string]*modelServer), reached: reached, broken: broken, version: 1}
	f.cfg = Config{Hash: f.choose("hash", "murmur3", "murmur3", "ketama", "rendezvous", "jump"), VNodes: 3, Copies: 1 + pick("copies", 3)}
	f.rejoin = Rejoin(pick("rejoin", 2))
	f.key = f.choose("key", "a", "b", "c", "d")
	for i := range 2 + pick("servers", 4) {
		f.servers[fmt.Sprintf("10.0.0.%d:11211", i)] = &modelServer{announced: pick("announced", 2) == 1}
	}
	for range 5 + pick("steps", 56) {
		switch f.choose("step", "change", "change", "put", "put", "delete", "get", "get", "evict", "crash", "rebalance") {
		case "change":
			f.change()
		case "put":
			f.write(false, 99)
		case "delete":
			f.write(true, 99)
		case "crash":
			f.write(pick("remove", 4) == 0, pick("done", 4))
		case "get":
			f.read()
		case "evict":
			if f.rejoin == Drop {
				addr := f.anyServer()
				f.servers[addr].item = nil
				f.say("%s evicts", addr)
			}
		case "rebalance":
			f.rebalance()
		}
	}
	return ""
}

// No read returns an older value than one that a read or an answered write of
// the key had (with several copies: than one that an answered write had).
func TestNothingStaleIsRead(t *testing.T) {
	t.Run("seeds", func(t *testing.T) {
		reached := make(map[string]int)
		for seed := range uint64(5000) {
			random := rand.New(rand.NewPCG(seed, 0))
			if stale := play(func(_ string, n int) int { return random.IntN(n) }, "", reached); stale != "" {
				t.Fatalf("seed %d: %s", seed, stale)
			}
		}
		for _, what := range []string{"formers", "decided", "by absence", "silent", "back empty", "unfinished write", "rebalanced"} {
			if reached[what] == 0 {
				t.Errorf("%q was never reached: %v", what, reached)
			}
		}
	})
	// What this finds it shrinks; -rapid.checks=600000 takes four minutes.
	t.Run("drawn", rapid.MakeCheck(func(t *rapid.T) {
		pick := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		if stale := play(pick, "", make(map[string]int)); stale != "" {
			t.Fatal(stale)
		}
	}))
}

// Each rule is needed: without it a stale value is found soon.
func TestEachRuleIsNeeded(t *testing.T) {
	for rule, within := range map[string]uint64{
		"stamps don't matter": 200,
		"formers keep theirs": 2000,
		"no tombstones":       2000,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			for seed := range within {
				random := rand.New(rand.NewPCG(seed, 4))
				if play(func(_ string, n int) int { return random.IntN(n) }, rule, make(map[string]int)) != "" {
					t.Logf("found by seed %d", seed)
					return
				}
			}
			t.Errorf("not found by %d seeds", within)
		})
	}
}
