package data

import (
	"cmp"
	"slices"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// client is what is known of the writes of one.
type client struct {
	oldest uint64 // the lowest number that may have no answer yet
	at     uint64 // of the last write, in microseconds since 1970
	// list is by number. What is below oldest goes once it is half of it. There are no
	// pointers in it, for the garbage collector's sake.
	list []record
}

// record is what came of a write.
type record struct {
	msg.Record
	generation uint32 // in which it was recorded
}

func (c *client) search(number uint64) (int, bool) {
	return slices.BinarySearchFunc(c.list, number, func(r record, number uint64) int { return cmp.Compare(r.Op.Number, number) })
}

// open returns the records of writes that may have no answer yet.
func (c *client) open() []record {
	from, _ := c.search(c.oldest)
	return c.list[from:]
}

// Record keeps r, in place of another record of the same write, and forgets the
// client's records below r.Op.Oldest. If it is known that the client has had its answer
// to r, only r.Op.Oldest counts. One without a client is not kept.
func (d *Data) Record(r msg.Record) {
	if r.Op.Client == 0 {
		return
	}
	c, ok := d.clients.Get(r.Op.Client)
	if !ok {
		c = new(client)
		d.clients.Set(r.Op.Client, c)
	}
	c.at = max(c.at, r.At)
	c.answered(r.Op.Oldest)
	if r.Op.Number < c.oldest {
		return
	}
	at := record{Record: r, generation: d.generation}
	if i, known := c.search(r.Op.Number); known {
		c.list[i] = at
	} else {
		c.list = slices.Insert(c.list, i, at)
	}
}

// answered notes that the client has had answers to all its writes below oldest.
func (c *client) answered(oldest uint64) {
	if oldest <= c.oldest {
		return
	}
	c.oldest = oldest
	below, _ := c.search(oldest)
	if 2*below > len(c.list) {
		c.list = slices.Delete(c.list, 0, below)
	}
}

// Recall returns the record of a write, if it is known. Answered: there is none, for
// the client has had its answer, and what came now was long on its way.
func (d *Data) Recall(op msg.OpID) (r msg.Record, known, answered bool) {
	c, ok := d.clients.Get(op.Client)
	if !ok {
		return msg.Record{}, false, false
	}
	if op.Number < c.oldest {
		return msg.Record{}, false, true
	}
	if i, ok := c.search(op.Number); ok {
		return c.list[i].Record, true, false
	}
	return msg.Record{}, false, false
}

// Records counts the records.
func (d *Data) Records() (n int) {
	d.clients.Scan(func(_ uint64, c *client) bool {
		n += len(c.open())
		return true
	})
	return n
}

// ExpireRecords forgets records of before a time, in microseconds since 1970, and
// clients that have written nothing since. It looks at up to most clients and goes on
// with others when it is called again.
func (d *Data) ExpireRecords(before uint64, most int) {
	var gone []uint64
	seen := 0
	d.clients.Ascend(d.expiring, func(id uint64, c *client) bool {
		if seen == most {
			d.expiring = id
			return false
		}
		seen++
		c.list = slices.DeleteFunc(c.list, func(r record) bool { return r.At < before })
		if len(c.list) == 0 && c.at < before {
			gone = append(gone, id)
		}
		return true
	})
	if seen < most { // these were the last ones
		d.expiring = 0
	}
	for _, id := range gone {
		d.clients.Delete(id)
	}
}

// pruneRecords removes the records in a span of before a generation.
func (d *Data) pruneRecords(span msg.Span, generation uint32) {
	d.clients.Scan(func(_ uint64, c *client) bool {
		c.list = slices.DeleteFunc(c.list, func(r record) bool {
			return r.generation < generation && place.Between(span.From, r.Place, span.To)
		})
		return true
	})
}
