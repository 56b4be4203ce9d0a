package ring

import (
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

// A small model checker over the state machine itself: from a settled ring on, all
// orders in which messages arrive, nodes begin rounds, notice silence, join and fail are
// tried, as long as there are joins and failures left. Time stands still: a question is
// given up when who it is for is dead and no answer is under way, so that suspicion is
// right; a joiner asks any member, which is more than any lookup finds.

var exploreMost = flag.Int("ring.explore", 0, "how many states TestExplore visits of one beginning at most; 0: all of the small ones, with TORC_SOAK set a million of each")

var exploreRounds = flag.Int("ring.rounds", 0, "how many rounds of stabilisation TestExplore has under way at a time; 0: one, with TORC_SOAK set two")

// model is a state.
type model struct {
	nodes []*Ring // by boot - 1; nil: not there yet
	dead  []bool
	mail  []letter
	joins int // that are left
	fails int
	out   *Output // what the node that did something last sent
}

// beginning is a settled ring, and what happens to it.
type beginning struct {
	list       int
	members    []int // places of 16
	joiners    []int
	fails      int
	rounds     int  // how many are under way at a time, at most
	most       int  // states
	principals bool // as in Zave's proof: never fewer than list + 1
	bugs       Bugs
}

func (b *beginning) start() *model {
	s := &model{joins: len(b.joiners), fails: b.fails, out: new(Output)}
	for i, id := range slices.Concat(b.members, b.joiners) {
		r := New(Config{
			Circle: 4, Self: Ref{place.Circle(4).Of(big.NewInt(int64(id))), uint64(i + 1), fmt.Sprint(id)},
			Rand: rand.New(rand.NewPCG(1, 1)), List: b.list, Period: time.Second, Patience: time.Second, Output: s.out, Bugs: b.bugs,
		}, 0)
		s.nodes, s.dead = append(s.nodes, r), append(s.dead, false)
	}
	n := len(b.members)
	for i, r := range s.nodes {
		if i >= n {
			r.member, r.join = false, &joining{}
			continue
		}
		for k := 1; k < n && k <= b.list; k++ {
			r.list = append(r.list, s.nodes[(i+k)%n].Self())
		}
		if n > 1 {
			r.prdc = s.nodes[(i+n-1)%n].Self()
		}
	}
	return s
}

func (s *model) clone() *model {
	c := &model{nodes: slices.Clone(s.nodes), dead: slices.Clone(s.dead), mail: slices.Clone(s.mail), joins: s.joins, fails: s.fails, out: s.out}
	return c
}

// own returns node i to be changed.
func (s *model) own(i int) *Ring {
	r := *s.nodes[i]
	r.notices, r.hints, r.fingers = slices.Clone(r.notices), slices.Clone(r.hints), slices.Clone(r.fingers)
	r.gone = maps.Clone(r.gone)
	if r.join != nil {
		j := *r.join
		r.join = &j
	}
	r.lookups = slices.Clone(r.lookups)
	for k, l := range r.lookups {
		c := *l
		c.queue, c.hops = slices.Clone(l.queue), slices.Clone(l.hops)
		r.lookups[k] = &c
	}
	s.nodes[i] = &r
	return &r
}

func (s *model) lives(p Ref) bool { return !p.None() && !s.dead[p.Boot-1] }

// waits tells whether r still waits for the answer with a nonce.
func (r *Ring) waits(nonce uint64) bool {
	_, lookup := r.open(nonce)
	return lookup || r.ask != nil && r.ask.nonce == nonce || r.heir.nonce == nonce
}

// post takes what was sent into the mail, without what can't have an effect any more.
// What only asks for a sign of life, or the way, arrives at once: that it can do so later
// is as if the rest had happened sooner.
func (s *model) post() *model {
	for sent := true; sent; {
		for _, o := range s.out.Send {
			s.mail = append(s.mail, letter{to: o.To, m: o.M})
		}
		*s.out = Output{Send: s.out.Send[:0]}
		s.mail = slices.DeleteFunc(s.mail, s.vain)
		i := slices.IndexFunc(s.mail, func(l letter) bool {
			return l.m.Kind == KindAlive || l.m.Kind == KindYes || l.m.Kind == KindStep || l.m.Kind == KindNext
		})
		if sent = i >= 0; sent {
			s.receive(i)
		}
	}
	return s
}

// vain tells whether nothing can come of a letter any more.
func (s *model) vain(l letter) bool {
	if !s.lives(l.to) {
		return true
	}
	switch l.m.Kind {
	case KindAsk, KindAlive, KindStep, KindEnter:
		return !s.lives(l.m.From) || !s.nodes[l.m.From.Boot-1].waits(l.m.Nonce)
	case KindState, KindYes, KindNext:
		return !s.nodes[l.to.Boot-1].waits(l.m.Nonce)
	}
	return false
}

// receive has letter i arrive.
func (s *model) receive(i int) {
	l := s.mail[i]
	s.mail = slices.Delete(s.mail, i, i+1)
	s.own(int(l.to.Boot)-1).Receive(0, &l.m)
}

// key is the state in bytes, without what doesn't matter.
func (s *model) key(x *exploration) uint64 {
	b := x.key[:0]
	ref := func(p Ref) { b = append(b, byte(p.Boot)) }
	list := func(ps []Ref) {
		b = append(b, byte(len(ps)))
		for _, p := range ps {
			ref(p)
		}
	}
	b = append(b, byte(s.joins), byte(s.fails))
	for i, r := range s.nodes {
		if s.dead[i] {
			b = append(b, 0)
			continue
		}
		b = append(b, 1, byte(len(r.lookups)))
		if r.member {
			b = append(b, 1)
		}
		ref(r.prdc)
		list(r.list)
		list(r.notices)
		list(r.hints)
		if g := r.guest.node; s.lives(g) && !(len(r.list) > 0 && r.list[0] == g) {
			ref(g)
		}
		b = append(b, 0)
		ref(r.heir.node)
		if q := r.ask; q != nil {
			b = append(b, byte(q.purpose)+1)
			ref(q.to)
			ref(q.newcomer)
		} else {
			b = append(b, 0)
		}
		for p := range s.dead {
			if _, is := r.gone[s.nodes[p].c.Self]; is {
				b = append(b, byte(p))
			}
		}
		for _, l := range r.lookups {
			b = append(b, l.target[len(l.target)-1], byte(l.left))
			ref(l.about)
			ref(l.at)
			for _, c := range l.queue {
				ref(c.from)
				list(c.left)
				b = append(b, byte(c.silent))
			}
			list(l.silent())
		}
	}
	letters, text := x.letters[:0], x.text[:0]
	for i := range s.mail {
		l := &s.mail[i]
		at := len(b)
		b = append(b, byte(l.m.Kind), l.m.Target[len(l.m.Target)-1])
		ref(l.to)
		ref(l.m.From)
		ref(l.m.Predecessor)
		list(l.m.List)
		if l.m.Busy {
			b = append(b, 1)
		}
		if l.m.Done {
			b = append(b, 2)
		}
		if l.m.Kind == KindNext || l.m.Kind == KindStep {
			b = binary.AppendUvarint(b, l.m.Nonce)
		}
		from := len(text)
		text = append(text, b[at:]...)
		letters = append(letters, text[from:len(text):len(text)])
		b = b[:at]
	}
	slices.SortFunc(letters, slices.Compare)
	for _, l := range slices.CompactFunc(letters, slices.Equal) {
		b = append(append(b, l...), 255)
	}
	x.key, x.letters, x.text = b, letters, text[:0]
	x.hash.Reset()
	x.hash.Write(b)
	return x.hash.Sum64()
}

// may tells whether node f may fail: everybody's list, and each under way, keeps one who
// lives; who is left alone needs nobody.
func (s *model) may(f int, b *beginning) bool {
	members, gone := 0, s.nodes[f].Self()
	for i, r := range s.nodes {
		if i != f && !s.dead[i] && r.member {
			members++
		}
	}
	if members == 0 || b.principals && members < b.list+1 {
		return false
	}
	keeps := func(of Ref, ps ...Ref) bool {
		return slices.ContainsFunc(ps, func(p Ref) bool { return p != gone && p != of && s.lives(p) && s.nodes[p.Boot-1].member })
	}
	for i, r := range s.nodes {
		if i != f && !s.dead[i] && r.member && slices.Contains(r.list, gone) && !keeps(r.Self(), r.list...) && members > 1 {
			return false
		}
	}
	for i := range s.mail {
		l := &s.mail[i]
		if l.m.Kind == KindState && !l.m.Busy && l.to != gone && !keeps(l.to, append([]Ref{l.m.From}, l.m.List[:min(len(l.m.List), b.list-1)]...)...) {
			return false
		}
	}
	return true
}

// next calls each with every state that can follow.
func (s *model) next(b *beginning, each func(string, *model)) {
	for i := range s.mail {
		l := s.mail[i]
		if !l.first(s.mail[:i]) {
			continue
		}
		c := s.clone()
		c.mail = slices.Delete(c.mail, i, i+1)
		c.own(int(l.to.Boot)-1).Receive(0, &l.m)
		each("arrives", c.post())
	}
	rounds := 0
	for i, r := range s.nodes {
		if !s.dead[i] && r.member && r.busy() {
			rounds++
		}
	}
	for i, r := range s.nodes {
		if s.dead[i] {
			continue
		}
		if p, is := s.silent(r); is {
			c := s.clone()
			c.own(i).gaveUp(p)
			each("silence", c.post())
		}
		if g := r.guest.node; !g.None() && !s.lives(g) {
			c := s.clone()
			c.own(i).guest = guest{}
			each("expires", c)
		}
		if r.member && r.ask == nil && rounds < b.rounds {
			c := s.clone()
			c.own(i).stabilise()
			each("round", c.post())
		}
		if s.fails > 0 && r.member && s.may(i, b) {
			c := s.clone()
			c.dead[i] = true
			c.fails--
			each("fail", c.post())
		}
		if first := len(b.members) + len(b.joiners) - s.joins; !r.member && r.ask == nil && i <= first {
			for k, m := range s.nodes {
				if !s.dead[k] && m.member && place.Inside(m.Self().Place, r.Self().Place, m.Successor().Place) {
					c := s.clone()
					if i == first {
						c.joins--
					}
					c.own(i).question(ofJoin, m.Self(), KindEnter)
					each("join", c.post())
				}
			}
		}
	}
}

// first tells whether the letter isn't among those before it.
func (l *letter) first(before []letter) bool {
	return !slices.ContainsFunc(before, func(o letter) bool {
		return o.to == l.to && o.m.From == l.m.From && o.m.Kind == l.m.Kind && o.m.Nonce == l.m.Nonce
	})
}

// silent is somebody dead whom r waits for, without an answer being under way.
func (s *model) silent(r *Ring) (p Ref, is bool) {
	under := func(p Ref) bool {
		return slices.ContainsFunc(s.mail, func(l letter) bool { return l.to == r.Self() && l.m.From == p && l.m.Kind != KindNotify })
	}
	if q := r.ask; q != nil && !s.lives(q.to) && !under(q.to) {
		return q.to, true
	}
	for _, l := range r.lookups {
		if !s.lives(l.at) && !under(l.at) {
			return l.at, true
		}
	}
	return p, false
}

// town is the members as a town's, to be judged.
func (s *model) town(b *beginning, before *model) *town {
	w := &town{list: b.list, nodes: map[uint64]*Ring{}, prdcs: map[Ref]Ref{}}
	for i, r := range s.nodes {
		if !s.dead[i] && r.member {
			w.nodes[r.Self().Boot], w.all = r, append(w.all, r)
			w.prdcs[r.Self()] = r.prdc
			if before != nil {
				w.prdcs[r.Self()] = before.nodes[i].prdc
			}
		}
	}
	slices.SortFunc(w.all, func(a, b *Ring) int { return a.Self().compare(b.Self()) })
	return w
}

// exploration is what was seen.
type exploration struct {
	b       *beginning
	seen    map[uint64]bool
	healed  map[uint64]bool
	whole   bool
	longest int // way to a settled ring

	hash      hash.Hash64
	key, text []byte // for model.key
	letters   [][]byte
}

// explore tries everything from b on.
func explore(b *beginning) (x *exploration, err error) {
	x = &exploration{b: b, seen: map[uint64]bool{}, healed: map[uint64]bool{}, whole: true, hash: fnv.New64a()}
	s := b.start()
	todo := []*model{s}
	x.seen[s.key(x)] = true
	for len(todo) > 0 && err == nil {
		s, todo = todo[len(todo)-1], todo[:len(todo)-1]
		if err = x.heals(s); err != nil {
			break
		}
		s.next(b, func(step string, c *model) {
			k := c.key(x)
			if err != nil || x.seen[k] {
				return
			}
			if len(x.seen) >= b.most {
				x.whole = false
				return
			}
			x.seen[k] = true
			if b.principals {
				if err = c.town(b, s).wrong(); err != nil {
					err = fmt.Errorf("after %s: %w", step, err)
				}
			}
			todo = append(todo, c)
		})
	}
	return x, err
}

// heals tells whether all settles if nothing happens any more, in a fair order: whatever
// is under way arrives; then silence is noticed; then nodes take turns.
func (x *exploration) heals(s *model) error {
	var way []uint64
	for turn := 0; ; {
		k := s.key(x)
		if x.healed[k] {
			break
		}
		if len(way) == 0 { // from here on it is changed
			s = s.clone()
			for i := range s.nodes {
				s.own(i)
			}
		}
		way = append(way, k)
		if len(s.mail) == 0 && s.idle(x.b) && s.town(x.b, nil).disorder() == nil {
			break
		}
		if len(way) > 2000 {
			var state []string
			for i, r := range s.nodes {
				state = append(state, fmt.Sprintf("%v: dead %v member %v prdc %v list %v", r.Self(), s.dead[i], r.member, r.prdc, r.list))
			}
			return fmt.Errorf("it doesn't settle: %v; %q", s.town(x.b, nil).disorder(), state)
		}
		if len(s.mail) > 0 {
			s.receive(0)
		} else {
			turn++
			s.turn(x.b, turn%len(s.nodes))
		}
		s.post()
	}
	x.longest = max(x.longest, len(way))
	for _, k := range way {
		x.healed[k] = true
	}
	return nil
}

// turn has node i do what it has to when nothing is under way to it.
func (s *model) turn(b *beginning, i int) {
	r := s.nodes[i]
	if s.dead[i] {
		return
	}
	if g := r.guest.node; !g.None() && !s.lives(g) {
		r.guest = guest{}
	}
	switch p, is := s.silent(r); {
	case is:
		r.gaveUp(p)
	case r.member && r.ask == nil:
		r.stabilise()
	case r.join != nil && r.ask == nil && s.entered(b, i):
		for k, m := range s.nodes {
			if !s.dead[k] && m.member && place.Inside(m.Self().Place, r.Self().Place, m.Successor().Place) {
				r.question(ofJoin, m.Self(), KindEnter)
				break
			}
		}
	}
}

// gaveUp has r give up waiting for p.
func (r *Ring) gaveUp(p Ref) {
	if r.ask != nil && r.ask.to == p {
		r.silent(p)
	}
	for _, l := range r.asking(p) {
		r.lookupSilent(l)
	}
}

// entered tells whether node i is one of those that have begun to join.
func (s *model) entered(b *beginning, i int) bool { return i < len(b.members)+len(b.joiners)-s.joins }

// idle tells whether nobody is on the way in, or waits.
func (s *model) idle(b *beginning) bool {
	for i, r := range s.nodes {
		if !s.dead[i] && (r.ask != nil || !r.member && s.entered(b, i)) {
			return false
		}
	}
	return true
}

// beginnings are what TestExplore begins with; the small ones always.
var beginnings = []struct {
	small bool
	beginning
}{
	// Fewer than list + 1: whatever happens on the way, it heals.
	{true, beginning{list: 2, members: []int{0}, joiners: []int{4, 8}}},
	{true, beginning{list: 2, members: []int{0, 8}, joiners: []int{4}, fails: 1}},
	{true, beginning{list: 2, members: []int{0, 4, 8}, fails: 2}},
	{true, beginning{list: 3, members: []int{0, 8}, joiners: []int{4}, fails: 1}},
	{false, beginning{list: 2, members: []int{0}, joiners: []int{4, 8}, fails: 1}},
	{false, beginning{list: 2, members: []int{0, 4, 8}, joiners: []int{6}, fails: 1}},
	{false, beginning{list: 3, members: []int{0, 4, 8, 12}, fails: 2}},
	// Never fewer than that: nothing is wrong at any time.
	{true, beginning{list: 1, members: []int{0, 4, 8}, joiners: []int{6}, fails: 1, principals: true}},
	{true, beginning{list: 2, members: []int{0, 4, 8, 12}, fails: 1, principals: true}},
	{false, beginning{list: 2, members: []int{0, 4, 8}, joiners: []int{6, 10}, principals: true}},
	{false, beginning{list: 2, members: []int{0, 4, 8, 12}, joiners: []int{6}, fails: 1, principals: true}},
	{false, beginning{list: 3, members: []int{0, 3, 6, 9, 12}, fails: 1, principals: true}},
	{false, beginning{list: 3, members: []int{0, 3, 6, 9, 12}, joiners: []int{10}, fails: 1, principals: true}},
}

// In a small ring everything that can happen is tried.
func TestExplore(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("TORC_SOAK") != ""
	for _, from := range beginnings {
		if !from.small && !soak && *exploreMost == 0 {
			continue
		}
		b := from.beginning
		b.rounds, b.most = 1, 20_000
		if soak {
			b.rounds, b.most = 2, 1_000_000
		}
		b.rounds, b.most = cmp.Or(*exploreRounds, b.rounds), cmp.Or(*exploreMost, b.most)
		name := fmt.Sprintf("list of %d, %d nodes, %d join, %d fail", b.list, len(b.members), len(b.joiners), b.fails)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			x, err := explore(&b)
			t.Logf("%d states, all of them: %v, up to %d steps until settled; %v", len(x.seen), x.whole, x.longest, time.Since(began).Round(time.Millisecond))
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// What Zave changed is needed, and the exploration sees it.
func TestExploreFindsBugs(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]beginning{
		"rectify is skipped": {list: 2, members: []int{0, 4, 8, 12}, joiners: []int{6}, fails: 1, bugs: Bugs{SkipRectify: true}},
		"the published join": {list: 1, members: []int{0, 4, 8}, joiners: []int{6}, fails: 1, bugs: Bugs{PublishedJoin: true}},
	} {
		b.rounds, b.most, b.principals = 1, 100_000, true
		x, err := explore(&b)
		if err == nil {
			t.Errorf("%s: not found in %d states", name, len(x.seen))
		}
		t.Logf("%s: after %d states: %v", name, len(x.seen), err)
	}
}
