package ring

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

// ErrNoWay: nobody who was known could be asked on the way to a place.
var ErrNoWay = errors.New("none of the nodes on the way answers")

// lookupKind is what a lookup is for.
type lookupKind uint8

const (
	callersLookup lookupKind = iota
	joinLookup
	fingerLookup
	ownLookup  // of this node's own place: whether the ring leads to it
	meetLookup // of about's place: whether the ring leads to it
)

// Hop is a node that was asked, and whether it answered.
type Hop struct {
	Node   Ref
	Silent bool
	Took   time.Duration // until it did, or was given up
}

// Found is the end of a lookup.
type Found struct {
	Number uint64 // as Lookup returned it
	Target place.Place
	// Owner is the target's successor, as Before has it, which was asked last.
	Owner, Before Ref
	Hops          []Hop
	Err           error // ErrNoWay
}

// lookup is one on its way: iterative, from one who is closer to the next.
type lookup struct {
	kind   lookupKind
	number uint64
	target place.Place
	about  Ref      // ownLookup: through whom, nobody: anybody. meetLookup: whom
	left   uint64   // meetLookup: how often about may be passed on
	at     Ref      // who is asked now
	queue  []choice // who can be asked instead, the last before the others
	nonce  uint64
	wait   wait
	hops   []Hop
}

// choice is who somebody on the way has named.
type choice struct {
	from   Ref
	left   []Ref // who isn't asked yet, the best first
	silent int   // how many it was told are silent
}

// Lookup begins to look for the successor of target. A Found with the number that it
// returns, never 0, says what came of it, at once if this node knows by itself; there
// is exactly one for each Lookup, after as many patiences at the most as nodes are
// asked. Of a node that isn't a member it says that this node is the owner.
func (r *Ring) Lookup(now time.Duration, target place.Place) uint64 {
	r.at(now)
	return r.lookup(target, r.c.Self, callersLookup)
}

func (r *Ring) lookup(target place.Place, from Ref, kind lookupKind) uint64 {
	return r.begin(&lookup{kind: kind, target: target}, from)
}

func (r *Ring) begin(l *lookup, from Ref) uint64 {
	r.nonce++
	l.number = r.nonce
	if from != r.c.Self {
		r.next(l, from)
		return l.number
	}
	r.begun(l)
	return l.number
}

// begun takes the first step, which this node is asked by itself.
func (r *Ring) begun(l *lookup) {
	silent := l.silent()
	if owner, next, done := r.step(l.target, silent); done {
		r.found(l, Found{Owner: owner, Before: r.c.Self})
	} else {
		l.queue = append(l.queue, choice{r.c.Self, next, len(silent)})
		r.forward(l)
	}
}

// width is how many nodes an answer names: the best, and others for when it is dead.
const width = 4

// step is one step towards target: its owner, or who is closer to it, the best first;
// none of whom the asker knows to be silent.
func (r *Ring) step(target place.Place, silent []Ref) (owner Ref, next []Ref, done bool) {
	self, first := r.c.Self.Place, r.Successor()
	if i := slices.IndexFunc(r.list, func(p Ref) bool { return !slices.Contains(silent, p) }); i >= 0 {
		first = r.list[i]
	} else if len(r.list) > 0 {
		return Ref{}, nil, false
	}
	if place.Between(self, target, first.Place) {
		return first, nil, true
	}
	next = make([]Ref, 0, width)
	// Fingers are in order, if not all of them fresh: from the one that reaches
	// farthest without passing the target.
	var last uint64
	for k := r.c.Circle.Distance(self, target).Log(); k >= 0 && len(next) < width; k-- {
		if p := &r.fingers[k]; p.Boot != last && p.Boot != 0 {
			last = p.Boot
			next = r.consider(next, p, target, silent)
			if last == first.Boot {
				break // so are all that reach less far
			}
		}
	}
	if r.c.WholeList {
		for i := range r.list {
			next = r.consider(next, &r.list[i], target, silent)
		}
	} else if len(next) < width {
		next = r.consider(next, &first, target, silent)
	}
	if len(next) == 0 { // all who are closer are suspects: the first is as good as any
		next = append(next, first)
	}
	return Ref{}, next, false
}

// consider puts p where it belongs among the best that are known, if it does.
func (r *Ring) consider(best []Ref, p *Ref, target place.Place, silent []Ref) []Ref {
	if !place.Inside(r.c.Self.Place, p.Place, target) || r.suspected(*p) || len(silent) > 0 && slices.Contains(silent, *p) {
		return best
	}
	i := len(best)
	for ; i > 0; i-- {
		if best[i-1].Boot == p.Boot {
			return best
		}
		if place.Between(p.Place, best[i-1].Place, target) { // that one is closer
			break
		}
	}
	switch {
	case i == width:
		return best
	case len(best) == width:
		best = best[:width-1]
	}
	return slices.Insert(best, i, *p)
}

func (r *Ring) stepAsked(m *Message) {
	owner, next, done := r.step(m.Target, m.List)
	if done {
		next = []Ref{owner}
	}
	r.send(m.From, Message{Kind: KindNext, Nonce: m.Nonce, List: next, Done: done})
}

// next asks p, and tells it who is silent.
func (r *Ring) next(l *lookup, p Ref) {
	r.settle(l)
	r.nonce++
	l.at, l.nonce, l.wait = p, r.nonce, r.patience()
	r.lookups = append(r.lookups, l)
	r.send(p, Message{Kind: KindStep, Nonce: l.nonce, Target: l.target, List: l.silent()})
}

// forward asks the best of those who can be asked. If all that somebody named are
// silent, that one is asked again, and told so: it may know others, or who is first after
// them.
func (r *Ring) forward(l *lookup) {
	for last := len(l.queue) - 1; last >= 0; last-- {
		c := &l.queue[last]
		for len(c.left) > 0 {
			p := c.left[0]
			c.left = c.left[1:]
			if p != r.c.Self && !l.asked(p) {
				r.next(l, p)
				return
			}
		}
		from, more := c.from, len(l.silent()) > c.silent
		l.queue = l.queue[:last]
		switch {
		case more && from == r.c.Self:
			r.begun(l)
			return
		case more:
			r.next(l, from)
			return
		}
	}
	r.found(l, Found{Err: ErrNoWay})
}

// silent are those who were asked and didn't answer.
func (l *lookup) silent() (all []Ref) {
	for i := range l.hops {
		if l.hops[i].Silent {
			all = append(all, l.hops[i].Node)
		}
	}
	return all
}

func (l *lookup) asked(p Ref) bool {
	return slices.ContainsFunc(l.hops, func(h Hop) bool { return h.Node == p })
}

func (r *Ring) stepAnswered(m *Message) {
	i, open := r.open(m.Nonce)
	if !open || r.lookups[i].at != m.From {
		return
	}
	l := r.lookups[i]
	l.hops = append(l.hops, Hop{Node: m.From, Took: r.took(l)})
	if l.kind == joinLookup && r.join != nil {
		r.join.learn(m.List)
	}
	if m.Done && len(m.List) > 0 {
		r.found(l, Found{Owner: m.List[0], Before: m.From})
		return
	}
	l.queue = append(l.queue, choice{m.From, m.List, len(l.silent())})
	r.forward(l)
}

// took is how long ago the one was asked who is asked now.
func (r *Ring) took(l *lookup) time.Duration { return r.now - (l.wait.until - r.c.Patience) }

// lookupSilent goes on without who doesn't answer.
func (r *Ring) lookupSilent(l *lookup) {
	l.hops = append(l.hops, Hop{Node: l.at, Silent: true, Took: r.took(l)})
	r.miss(l.at)
	r.forward(l)
}

func (r *Ring) found(l *lookup, f Found) {
	r.settle(l)
	f.Number, f.Target, f.Hops = l.number, l.target, l.hops
	switch l.kind {
	case joinLookup:
		r.joinFound(&f)
	case fingerLookup:
		r.fingerFound(&f)
	case ownLookup:
		r.ownFound(&f, l.about)
	case meetLookup:
		r.meetFound(&f, l.about, l.left)
	default:
		r.out.Found = append(r.out.Found, f)
	}
}

// open returns where the lookup of a nonce is among those under way.
func (r *Ring) open(nonce uint64) (at int, is bool) {
	return slices.BinarySearchFunc(r.lookups, nonce, func(l *lookup, nonce uint64) int { return cmp.Compare(l.nonce, nonce) })
}

// settle takes l away from those that wait for an answer, if it does.
func (r *Ring) settle(l *lookup) {
	if i, is := r.open(l.nonce); is {
		r.lookups = slices.Delete(r.lookups, i, i+1)
	}
}

func (r *Ring) overdue() []*lookup {
	n := 0
	for n < len(r.lookups) && r.over(&r.lookups[n].wait) {
		n++
	}
	return slices.Clone(r.lookups[:n])
}

// repeatLookups asks those again who may not have been reached.
func (r *Ring) repeatLookups() {
	if r.c.Tries == 1 {
		return
	}
	for _, l := range r.lookups {
		if r.again(&l.wait) {
			r.send(l.at, Message{Kind: KindStep, Nonce: l.nonce, Target: l.target, List: l.silent()})
		}
	}
}

// nextLookup returns when one of them is due.
func (r *Ring) nextLookup() time.Duration {
	next := time.Duration(1<<63 - 1)
	for i, l := range r.lookups {
		if i > 0 && r.c.Tries == 1 {
			break // the first is due first
		}
		next = min(next, l.wait.next())
	}
	return next
}

func (r *Ring) asking(p Ref) (ls []*lookup) {
	for _, l := range r.lookups {
		if l.at == p {
			ls = append(ls, l)
		}
	}
	return ls
}
