package slots

import (
	"slices"
	"sort"
)

// backups spreads copies over servers, once each slot has its primary.
type backups struct {
	rows  []Want
	was   []Want // rows before fill
	n     int
	each  int      // how many a slot shall have
	owned [][]Slot // by primary
	over  []int    // by server: how many backups it has above its share
}

func placeBackups(rows []Want, n, each int) {
	b := &backups{rows: rows, n: n, each: each, owned: grouped(rows, n)}
	b.trim()
	if each == 0 {
		return
	}
	b.was = slices.Clone(rows)
	b.fill()
	b.even()
	b.complete()
	b.chain()
}

// trim drops what rows have beyond each, of those who have most, and finds out who
// is over.
func (b *backups) trim() {
	has := make([]int, b.n)
	for s := range b.rows {
		for _, v := range b.rows[s].Backups() {
			has[v]++
		}
	}
	for s := range b.rows {
		w := &b.rows[s]
		for len(w.Backups()) > b.each {
			most := slices.MaxFunc(w.Backups(), func(u, v int16) int { return has[u] - has[v] })
			has[most]--
			w.replace(most, None)
		}
	}
	b.over = surplus(has, Count*b.each)
}

// fill gives rows that lack backups those who are short. Rows that have all of those
// already go on lacking.
func (b *backups) fill() {
	pairs := b.pairs()
	turn := make([]int, b.n) // by primary: who had one last
	for p := range turn {
		turn[p] = p
	}
	for i := range b.rows {
		s := scatter(i)
		w := &b.rows[s]
		for b.lacks(w) {
			p := w[0]
			v := b.next(w, pairs[p], &turn[p])
			if v == None {
				break
			}
			w.add(v)
			b.over[v]++
			if pairs[p] != nil {
				pairs[p][v]++
			}
		}
	}
}

// pairs counts for each primary how many of its slots each server backs up. With
// more pairs of servers than slots it counts nothing: each is nil.
func (b *backups) pairs() [][]int {
	pairs := make([][]int, b.n)
	if b.n*b.n > Count {
		return pairs
	}
	for p := range pairs {
		pairs[p] = make([]int, b.n)
	}
	for s := range b.rows {
		for _, v := range b.rows[s].Backups() {
			pairs[b.rows[s][0]][v]++
		}
	}
	return pairs
}

// complete gives rows that still lack backups whoever is nearest to being short.
func (b *backups) complete() {
	for s := range b.rows {
		w := &b.rows[s]
		for b.lacks(w) {
			v := b.least(w)
			w.add(v)
			b.over[v]++
		}
	}
}

func (b *backups) lacks(w *Want) bool { return len(w.Backups()) < b.each }

// choices is how many of those who are short are looked at for one backup. More
// make it hardly more even, and it would take long among a hundred servers.
const choices = 8

// next chooses, of the next ones in turn who are short and not in w, one who is
// most short and backs up few of the primary's slots.
func (b *backups) next(w *Want, pair []int, turn *int) int16 {
	best, least := None, 0
	v := *turn
	seen := 0
	for range b.n {
		if v++; v == b.n {
			v = 0
		}
		if b.over[v] >= 0 {
			continue
		}
		score := b.over[v]
		if pair != nil {
			score += pair[v]
		}
		if (best == None || score < least) && !w.Has(int16(v)) {
			best, least = int16(v), score
		}
		if seen++; seen >= choices && best != None {
			break
		}
	}
	if best != None {
		*turn = int(best)
	}
	return best
}

// least returns who of those not in w is furthest below its share, or least above.
func (b *backups) least(w *Want) int16 {
	least := None
	for v := range int16(b.n) {
		if !w.Has(v) && (least == None || b.over[v] < b.over[least]) {
			least = v
		}
	}
	return least
}

// held returns the slots that each server is a backup of, those of one primary
// together and in order.
func (b *backups) held() [][]Slot {
	held := make([][]Slot, b.n)
	for v := range held {
		held[v] = make([]Slot, 0, Count*b.each/b.n+max(0, b.over[v])+1)
	}
	for _, slots := range b.owned {
		for _, s := range slots {
			for _, v := range b.rows[s].Backups() {
				held[v] = append(held[v], s)
			}
		}
	}
	return held
}

func (b *backups) move(s Slot, from, to int16) {
	b.rows[s].replace(from, to)
	b.over[from]--
	b.over[to]++
}

// even moves backups from those who are over to those who are short: of each, of
// those primaries' slots of whom it has most, evenly spaced.
func (b *backups) even() {
	short := newTurns(b.over)
	if len(short.who) == 0 {
		return
	}
	// taker returns to, or else who of those who are short is most so, if it can
	// take s.
	taker := func(s Slot, to int) int16 {
		w := &b.rows[s]
		if b.over[to] < 0 && !w.Has(int16(to)) {
			return int16(to)
		}
		best := None
		for _, v := range short.who {
			if b.over[v] < 0 && !w.Has(int16(v)) && (best == None || b.over[v] < b.over[best]) {
				best = int16(v)
			}
		}
		return best
	}
	for from, slots := range b.held() {
		// Once more if some of those picked could not be taken any more.
		for moved := true; moved && b.over[from] > 0; {
			moved = false
			lots := b.able(from, slots, func(s Slot) bool { return taker(s, short.who[0]) != None })
			for i, take := range level(lots, b.over[from], from) {
				spaced(take, len(lots[i].able), from, b.n, func(k int) {
					s := lots[i].able[k]
					if to := taker(s, short.next()); to != None {
						b.move(s, int16(from), to)
						moved = true
					}
				})
			}
		}
	}
}

// lot is what a server backs up of one primary.
type lot struct {
	all  int
	able []Slot // those that may go
}

// able sorts slots, of those that from still backs up, by their primaries.
func (b *backups) able(from int, slots []Slot, can func(s Slot) bool) []lot {
	var lots []lot
	last := None
	for _, s := range slots {
		w := &b.rows[s]
		if !w.Has(int16(from)) {
			continue
		}
		if w[0] != last {
			last = w[0]
			lots = append(lots, lot{})
		}
		l := &lots[len(lots)-1]
		l.all++
		if can(s) {
			l.able = append(l.able, s)
		}
	}
	return lots
}

// level says how many to take of each lot, n in all if there are as many, such
// that the most that any has left is least; of who has one more than that, start
// says who begins.
func level(lots []lot, n, start int) []int {
	above := func(l lot, keep int) int { return min(max(l.all-keep, 0), len(l.able)) }
	// keep is the least that takes no more than n.
	keep := sort.Search(Count, func(keep int) bool {
		sum := 0
		for _, l := range lots {
			sum += above(l, keep)
		}
		return sum <= n
	})
	take := make([]int, len(lots))
	for i, l := range lots {
		take[i] = above(l, keep)
		n -= take[i]
	}
	for i := 0; i < len(lots) && n > 0; i++ {
		k := (start + i) % len(lots)
		if take[k] < above(lots[k], keep-1) {
			take[k]++
			n--
		}
	}
	return take
}

// spaced calls f with the indices of take out of length things, evenly spaced, in
// order. Each of parts begins elsewhere, so that they don't all pick the same ones.
func spaced(take, length, part, parts int, f func(i int)) {
	for k := range take {
		f((2*parts*k + 2*part + 1) * length / (2 * parts * take))
	}
}

// chain moves backups from who has most, or to who has fewest, through others if
// need be, until nobody has over one more than another. There is always a way: with
// no server twice in a row, backups can be even whatever the primaries are, if those
// are.
func (b *backups) chain() {
	held := b.held()
	has := func(v int16) int { return len(held[v]) }
	low, high := Count*b.each/b.n, (Count*b.each+b.n-1)/b.n
	for {
		most, least := 0, Count
		for v := range int16(b.n) {
			most, least = max(most, has(v)), min(least, has(v))
		}
		if most-least <= 1 {
			return
		}
		way := b.way(held, func(v int16) bool { return has(v) > high }, func(v int16) bool { return has(v) < low })
		if way == nil {
			way = b.way(held, func(v int16) bool { return has(v) == most }, func(v int16) bool { return has(v) <= most-2 })
		}
		if way == nil {
			way = b.way(held, func(v int16) bool { return has(v) >= least+2 }, func(v int16) bool { return has(v) == least })
		}
		if way == nil {
			return
		}
		// The same way serves for as many as both its ends are away from even.
		to, from := way[0].to, way[len(way)-1].from
		b.pass(held, way, max(1, min(has(from)-high, low-has(to))))
	}
}

// hop is a place on a way: from can give to a slot that it was a backup of before
// fill, or one that it was not.
type hop struct {
	from, to int16
	was      bool
}

// way finds how a backup can go from a source to a sink, each in between passing
// on another one; the last hop is first. Of all ways it is one that takes the
// fewest from who had them before fill.
func (b *backups) way(held [][]Slot, source, sink func(v int16) bool) []hop {
	came := make([]hop, b.n) // by where it leads to
	seen := make([]bool, b.n)
	var level []int16 // reached at the same cost
	for v := range int16(b.n) {
		if source(v) {
			seen[v] = true
			came[v].from = None
			level = append(level, v)
		}
	}
	// reach appends to found whom from can give to.
	reach := func(from int16, was bool, found []int16) (_ []int16, end int16) {
		for _, s := range held[from] {
			if b.was[s].Has(from) != was {
				continue
			}
			for to := range int16(b.n) {
				if seen[to] || b.rows[s].Has(to) {
					continue
				}
				seen[to] = true
				came[to] = hop{from, to, was}
				if sink(to) {
					return found, to
				}
				found = append(found, to)
			}
		}
		return found, None
	}
	back := func(end int16) (way []hop) {
		for h := came[end]; h.from != None; h = came[h.from] {
			way = append(way, h)
		}
		return way
	}
	for len(level) > 0 {
		var end int16
		for i := 0; i < len(level); i++ {
			if level, end = reach(level[i], false, level); end != None {
				return back(end)
			}
		}
		var next []int16
		for _, from := range level {
			if next, end = reach(from, true, next); end != None {
				return back(end)
			}
		}
		level = next
	}
	return nil
}

// pass sends up to n backups down a way.
func (b *backups) pass(held [][]Slot, way []hop, n int) {
	at := make([]int, len(way)) // where in held[from] to look on
	for range n {
		for i, h := range way {
			for ; at[i] < len(held[h.from]); at[i]++ {
				if s := held[h.from][at[i]]; b.was[s].Has(h.from) == h.was && !b.rows[s].Has(h.to) {
					break
				}
			}
			if at[i] == len(held[h.from]) {
				return
			}
		}
		for i, h := range way {
			s := held[h.from][at[i]]
			b.move(s, h.from, h.to)
			held[h.from] = slices.Delete(held[h.from], at[i], at[i]+1)
			held[h.to] = append(held[h.to], s)
		}
	}
}
