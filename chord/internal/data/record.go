package data

import (
	"cmp"
	"slices"

	"github.com/torc-dht/torc/chord/internal/msg"
)

// client is what is known of the writes of one.
type client struct {
	// oldest is the lowest number that may have no answer yet. forgot: there were
	// records below it.
	oldest uint64
	forgot bool
	at     uint64    // of the last write, in microseconds since 1970
	list   []*record // by number
}

// record is what came of a write.
type record struct {
	msg.Record
	generation uint32 // in which it was recorded
}

func (r *record) less(o *record) bool {
	return cmp.Or(r.Place.Compare(o.Place), cmp.Compare(r.Op.Client, o.Op.Client), cmp.Compare(r.Op.Number, o.Op.Number)) < 0
}

func (c *client) search(number uint64) (int, bool) {
	return slices.BinarySearchFunc(c.list, number, func(r *record, number uint64) int { return cmp.Compare(r.Op.Number, number) })
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
	d.answered(c, r.Op.Oldest)
	if r.Op.Number < c.oldest {
		c.forgot = true
		return
	}
	at := &record{Record: r, generation: d.generation}
	i, known := c.search(r.Op.Number)
	if known {
		d.records.Delete(c.list[i])
		c.list[i] = at
	} else {
		c.list = slices.Insert(c.list, i, at)
	}
	d.records.Set(at)
}

// answered notes that the client has had answers to all its writes below oldest.
func (d *Data) answered(c *client, oldest uint64) {
	if oldest <= c.oldest {
		return
	}
	c.oldest = oldest
	below, _ := c.search(oldest)
	for _, r := range c.list[:below] {
		d.records.Delete(r)
		c.forgot = true
	}
	c.list = slices.Delete(c.list, 0, below)
}

// Recall returns the record of a write, if it is known. Answered: there is none, for
// the client has had its answer, and what came now was long on its way.
func (d *Data) Recall(op msg.OpID) (r msg.Record, known, answered bool) {
	c, ok := d.clients.Get(op.Client)
	if !ok {
		return msg.Record{}, false, false
	}
	if i, ok := c.search(op.Number); ok {
		return c.list[i].Record, true, false
	}
	return msg.Record{}, false, op.Number < c.oldest
}

// forget forgets a record, and leaves what is known of its client.
func (d *Data) forget(r *record) {
	d.records.Delete(r)
	c, _ := d.clients.Get(r.Op.Client)
	i, _ := c.search(r.Op.Number)
	c.list = slices.Delete(c.list, i, i+1)
}

// Records counts the records.
func (d *Data) Records() int { return d.records.Len() }

// Forget forgets records of before a time, in microseconds since 1970, and clients that
// have written nothing since. It looks at up to max clients and goes on with others
// when it is called again.
func (d *Data) Forget(before uint64, max int) {
	var gone []uint64
	seen := 0
	d.clients.Ascend(d.forgotten, func(id uint64, c *client) bool {
		if seen == max {
			return false
		}
		seen++
		d.forgotten = id + 1
		c.list = slices.DeleteFunc(c.list, func(r *record) bool {
			if r.At >= before {
				return false
			}
			d.records.Delete(r)
			return true
		})
		if len(c.list) == 0 && c.at < before {
			gone = append(gone, id)
		}
		return true
	})
	if seen < max { // these were the last ones
		d.forgotten = 0
	}
	for _, id := range gone {
		d.clients.Delete(id)
	}
}
