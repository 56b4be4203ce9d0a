package state

import (
	"cmp"
	"iter"
	"slices"
)

// pageSize is how many records a page of a ledger has at most: so few that copying
// one costs little, so many that the list of pages of a million records does, too.
const pageSize = 128

// ledger has records in the order in which they came: in a list of pages, none of
// them empty.
//
// A B-tree would do. But what comes last is at its edge, and what goes is mostly
// what has just come: a tree splits and joins all the time.
type ledger struct {
	pages []*page
	n     int
	// edition is how many copies were made: pages of an earlier edition are in
	// one, and are copied before they are changed.
	edition uint64
}

type page struct {
	records []*record // by order
	edition uint64
}

// copy returns the ledger as it is now, for reading.
func (l *ledger) copy() *ledger {
	l.edition++
	return &ledger{pages: slices.Clone(l.pages), n: l.n}
}

// own returns page i, to be changed.
func (l *ledger) own(i int) *page {
	p := l.pages[i]
	if p.edition != l.edition {
		p = &page{records: append(make([]*record, 0, pageSize), p.records...), edition: l.edition}
		l.pages[i] = p
	}
	return p
}

// add adds a record of a higher order than all the others.
func (l *ledger) add(r *record) {
	l.n++
	if last := len(l.pages) - 1; last >= 0 && len(l.pages[last].records) < pageSize {
		p := l.own(last)
		if len(p.records) < cap(p.records) || len(p.records) <= pageSize/2 {
			p.records = append(p.records, r)
			return
		}
	}
	l.pages = append(l.pages, &page{records: append(make([]*record, 0, pageSize), r), edition: l.edition})
}

// find returns in which page, and where in it, the first record is whose order is
// not below that.
func (l *ledger) find(order uint64) (i, j int) {
	i, _ = slices.BinarySearchFunc(l.pages, order, func(p *page, order uint64) int {
		return cmp.Compare(p.records[len(p.records)-1].order, order)
	})
	if i < len(l.pages) {
		j, _ = slices.BinarySearchFunc(l.pages[i].records, order, func(r *record, order uint64) int {
			return cmp.Compare(r.order, order)
		})
	}
	return i, j
}

// replace puts r where another record of its order is.
func (l *ledger) replace(r *record) {
	i, j := l.find(r.order)
	l.own(i).records[j] = r
}

// remove removes the record of that order, which must be there.
func (l *ledger) remove(order uint64) {
	l.n--
	i, j := l.find(order)
	p := l.own(i)
	if j == 0 {
		p.records[0] = nil
		p.records = p.records[1:]
	} else {
		p.records = slices.Delete(p.records, j, j+1)
	}
	switch {
	case len(p.records) == 0:
		l.pages = slices.Delete(l.pages, i, i+1)
	case len(p.records) < pageSize/4:
		// Few are left: a neighbour that has room for them, with some to spare,
		// takes them.
		if !l.join(i) && i > 0 {
			l.join(i - 1)
		}
	}
}

// join makes one of page i and the next, if they fill no more than half of one.
func (l *ledger) join(i int) bool {
	if i+1 >= len(l.pages) {
		return false
	}
	p, q := l.pages[i], l.pages[i+1]
	if len(p.records)+len(q.records) > pageSize/2 {
		return false
	}
	both := append(append(make([]*record, 0, pageSize), p.records...), q.records...)
	l.pages[i] = &page{records: both, edition: l.edition}
	l.pages = slices.Delete(l.pages, i+1, i+2)
	return true
}

// oldest returns the first record, newest the last one; nil if there is none.
func (l *ledger) oldest() *record {
	if l.n == 0 {
		return nil
	}
	return l.pages[0].records[0]
}

func (l *ledger) newest() *record {
	if l.n == 0 {
		return nil
	}
	last := l.pages[len(l.pages)-1].records
	return last[len(last)-1]
}

// from yields the records from that order on. The ledger must not be changed
// meanwhile.
func (l *ledger) from(order uint64) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		i, j := l.find(order)
		for ; i < len(l.pages); i, j = i+1, 0 {
			for _, r := range l.pages[i].records[j:] {
				if !yield(r) {
					return
				}
			}
		}
	}
}
