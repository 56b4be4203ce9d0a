package slots

import "slices"

// Place returns the goal for servers, those that shall have slots, in the order
// of their Numbers and at most MaxServers: for each slot a primary and, as far as
// there are servers, copies-1 backups (copies is 1 to MaxCopies), nobody twice in a
// row. No server has over one primary more than another, nor over one backup more
// than another.
//
// Under [Modulo] the primary of slot s is servers[s mod n], and goal is not looked
// at. Under [Minimal] as few slots as possible change from goal:
//
//   - No rule that ends as even moves fewer primaries. Who comes takes an equal
//     share from each that is there, evenly spaced in its slots. The slots of who
//     has gone go to their own backups first, who have the data.
//   - A backup changes when its server has gone, when it became the slot's
//     primary (the former primary, if it is there, then takes its place: nothing is
//     sent), or when its server has more than its share. Of the last no more than
//     need be, given the primaries, in every sequence of joins and leaves tried; it
//     is not proven, because which rows can take whom depends on all that was.
//
// The backups of each server's slots are spread over all others, so that its load
// is, too, when it dies: as evenly as the numbers divide in a goal made from
// nothing, and, where servers come and go one by one and a pair of them has slots
// by the hundred, within a few in a hundred. When half of the servers change at
// once it may be two or three times the even share: nothing is moved for this
// alone.
//
// Place is deterministic, and changes nothing in a goal that it returned for the
// same servers.
func Place(goal Goal, servers []Server, p Placement, copies int) Goal {
	if p == Modulo {
		goal = Goal{}
	}
	goal = goal.On(servers)
	n := len(servers)
	if n == 0 {
		return goal
	}
	if p == Modulo {
		for s := range goal.Rows {
			goal.Rows[s][0] = int16(s % n)
		}
	} else {
		placePrimaries(goal.Rows, n)
	}
	placeBackups(goal.Rows, n, max(1, min(copies, n, MaxCopies))-1)
	return goal
}

// surplus returns how many each has above its share of total, below 0 for those
// short of some. Where total doesn't divide, those who have most get one more:
// so nobody moves what can stay.
func surplus(has []int, total int) []int {
	order := make([]int, len(has))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return has[b] - has[a] })
	over := make([]int, len(has))
	for rank, i := range order {
		share := total / len(has)
		if rank < total%len(has) {
			share++
		}
		over[i] = has[i] - share
	}
	return over
}

// scatter returns a slot for each i below Count, each once, such that those of any
// i in a row lie evenly among all.
func scatter(i int) int { return i * 17159 % Count } // Count/17159 is near the golden ratio

// turns deals to those who are short of something, each as often as it is short,
// and evenly among the others.
type turns struct {
	who, need, credit []int
	most, at          int
}

func newTurns(over []int) *turns {
	t := &turns{}
	for i, o := range over {
		if o < 0 {
			t.who = append(t.who, i)
			t.need = append(t.need, -o)
			t.most = max(t.most, -o)
		}
	}
	t.credit = make([]int, len(t.who))
	for i := range t.credit {
		t.credit[i] = t.most - 1
	}
	return t
}

// next returns whose turn it is. It may be called as often as all together were
// short of something.
func (t *turns) next() int {
	for {
		i := t.at
		if t.at++; t.at == len(t.who) {
			t.at = 0
		}
		if t.credit[i] += t.need[i]; t.credit[i] >= t.most {
			t.credit[i] -= t.most
			return t.who[i]
		}
	}
}

func placePrimaries(rows []Want, n int) {
	has := make([]int, n)
	orphans := 0
	for s := range rows {
		if p := rows[s][0]; p != None {
			has[p]++
		} else {
			orphans++
		}
	}
	over := surplus(has, Count)
	give := func(s, to int) {
		w := &rows[s]
		from := w[0]
		if w.Has(int16(to)) {
			w.replace(int16(to), from)
		}
		w[0] = int16(to)
		over[to]++
		if from != None {
			over[from]--
		}
	}
	// promote gives a slot to the backup that is short of most, if any is.
	promote := func(s int) {
		to := None
		for _, b := range rows[s].Backups() {
			if over[b] < 0 && (to == None || over[b] < over[to]) {
				to = b
			}
		}
		if to != None {
			give(s, int(to))
		}
	}
	if orphans > 0 {
		for i := range rows {
			if s := scatter(i); rows[s][0] == None {
				promote(s)
			}
		}
	}
	for i := range rows {
		if p := rows[scatter(i)][0]; p != None && over[p] > 0 {
			promote(scatter(i))
		}
	}
	short := newTurns(over)
	if len(short.who) == 0 {
		return
	}
	for s := range rows {
		if rows[s][0] == None {
			give(s, short.next())
		}
	}
	share(rows, over, short, give)
}

// share gives away what servers have over. It goes through the slots once and
// gives one when it is due, by how many went by and how many of those were given:
// of its server's slots, of those that the same backups have, and of all together.
// So those given lie evenly among each.
func share(rows []Want, over []int, short *turns, give func(s, to int)) {
	n := len(over)
	var all quota
	donors := make([]quota, n)
	for s := range rows {
		donors[rows[s][0]].has++
	}
	to := make([]*turns, n)
	needs := make([]int, n)
	for x, o := range over {
		if o <= 0 {
			continue
		}
		donors[x].give = o
		all.has += donors[x].has
		all.give += o
		clear(needs)
		for range o {
			needs[short.next()]--
		}
		to[x] = newTurns(needs)
		to[x].at = x % len(to[x].who)
	}
	pairs := make([]quota, pairCount(n)) // seen and given only; the rate is the donor's
	for s := range rows {
		w := &rows[s]
		x := w[0]
		d := &donors[x]
		if d.give == 0 {
			continue
		}
		d.seen++
		all.seen++
		due, enough := d.due(d.seen, d.given)+all.due(all.seen, all.given), 1.0
		backups := w.Backups()
		if len(pairs) > 0 && len(backups) > 0 {
			sum := 0.0
			for _, v := range backups {
				p := &pairs[int(x)*n+int(v)]
				p.seen++
				sum += d.due(p.seen, p.given)
			}
			due += sum / float64(len(backups))
			enough = 1.5
		}
		left := d.give - d.given
		if left > 0 && (due >= enough-1e-9 || left > d.has-d.seen) {
			d.given++
			all.given++
			if len(pairs) > 0 {
				for _, v := range backups {
					pairs[int(x)*n+int(v)].given++
				}
			}
			give(s, to[x].next())
		}
	}
}

// quota says how many of the slots that somebody has are to be given away, and how
// many went by and were given so far.
type quota struct{ has, give, seen, given int }

// due returns how many more should have been given at the quota's rate.
func (q *quota) due(seen, given int) float64 {
	return float64(seen)*float64(q.give)/float64(q.has) - float64(given)
}

// pairCount returns how many pairs of n servers there are to keep count of: none
// with more pairs than slots.
func pairCount(n int) int {
	if n*n > Count {
		return 0
	}
	return n * n
}

// grouped returns the slots of each primary, in order.
func grouped(rows []Want, n int) [][]Slot {
	ends := make([]int, n+1)
	for s := range rows {
		if p := rows[s][0]; p != None {
			ends[p+1]++
		}
	}
	for i := range n {
		ends[i+1] += ends[i]
	}
	all := make([]Slot, ends[n])
	groups := make([][]Slot, n)
	for i := range groups {
		groups[i] = all[ends[i]:ends[i]:ends[i+1]]
	}
	for s := range rows {
		if p := rows[s][0]; p != None {
			groups[p] = append(groups[p], Slot(s))
		}
	}
	return groups
}
