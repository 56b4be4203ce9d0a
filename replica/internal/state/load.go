package state

import (
	"errors"
	"fmt"
	"math"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/wire"
)

// maxChunk bounds the bytes of a chunk: it has to fit into a message.
const maxChunk = msg.MaxMessage

// Loader makes a state of the chunks of an image.
type Loader struct {
	s   *State
	err error

	begun          bool
	items, records uint64 // still to come
	key            string // of the item before
}

// NewLoader returns a Loader of states with these limits.
func NewLoader(l Limits) *Loader { return &Loader{s: New(l)} }

// Add takes the next chunk, of which it keeps nothing. Chunks must come in order,
// each once. After an error it is of no more use, and gives that one again. An
// image of other limits is an error.
func (l *Loader) Add(chunk []byte) error {
	if l.err != nil {
		return l.err
	}
	r := wire.NewReader(chunk, maxChunk)
	if !l.begun {
		l.begun = true
		l.head(&r)
	}
	for r.Len() > 0 {
		switch {
		case l.items > 0:
			l.items--
			l.item(&r)
		case l.records > 0:
			l.records--
			l.record(&r)
		default:
			r.Fail("image has more than it says")
		}
	}
	l.err = r.End()
	return l.err
}

// State returns what was loaded, once all of it was.
func (l *Loader) State() (*State, error) {
	switch {
	case l.err != nil:
		return nil, l.err
	case !l.begun || l.items > 0 || l.records > 0:
		return nil, fmt.Errorf("replica: image is cut off: %d keys and %d records are missing", l.items, l.records)
	}
	s := l.s
	l.s, l.err = nil, errors.New("replica: the image was taken over already")
	return s, nil
}

func (l *Loader) head(r *wire.Reader) {
	if v := r.Byte(); v != imageVersion && r.Err() == nil {
		r.Fail("image of version %d: known is %d", v, imageVersion)
	}
	limits := Limits{Bytes: r.Uvarint(), Records: int(min(r.Uvarint(), math.MaxInt)), RecordBytes: r.Uvarint()}
	switch own := l.s.limits; {
	case r.Err() != nil:
	case limits.Bytes != own.Bytes:
		r.Fail("the others hold up to %d bytes of keys and values, and this server %d: give all servers the same memory", limits.Bytes, own.Bytes)
	case limits != own:
		r.Fail("the others remember operations within %+v, and this server within %+v: run the same torc everywhere", limits, own)
	}
	s := l.s
	s.now, s.seq = r.Uvarint(), r.Uvarint()
	s.merged, s.dropped = r.Uvarint(), r.Uvarint()
	l.items, l.records = r.Uvarint(), r.Uvarint()
}

func (l *Loader) item(r *wire.Reader) {
	flags := r.Flags(itemFlags, "an item")
	it := &item{key: string(r.Bytes(msg.MaxKey, "bytes of a key")), removed: flags&itemRemoved != 0, mayBe: flags&itemMayBe != 0}
	if !it.removed {
		it.value = own(r.Bytes(msg.MaxValue, "bytes of a value"))
	}
	it.version = version(r)
	it.time = r.Uvarint()
	if flags&itemExpires != 0 {
		it.expires = r.Uvarint()
	}
	if flags&itemBy != 0 {
		it.by = msg.OpID{Client: r.Uint64(), Seq: r.Uvarint()}
	}
	s := l.s
	switch {
	case r.Err() != nil:
		return
	case s.items.Len() > 0 && it.key <= l.key:
		r.Fail("image has key %q behind %q", it.key, l.key)
		return
	case it.over(s.now):
		r.Fail("image has key %q, which has expired", it.key)
		return
	case flags&itemExpires != 0 && it.expires == 0:
		r.Fail("image has key %q, which expires at no time", it.key)
		return
	}
	if by := it.by; flags&itemBy != 0 && !remembered(by) {
		r.Fail("image has key %q by an operation without a name", it.key)
		return
	}
	l.key = it.key
	s.items.Load(it.key, it)
	s.reckon(it)
	if s.bytes > s.limits.Bytes || s.buried > s.limits.RecordBytes {
		r.Fail("image is above its limits %+v", s.limits)
	}
}

func (l *Loader) record(r *wire.Reader) {
	flags := r.Flags(recordFlags, "a record")
	rec := &record{id: msg.OpID{Client: r.Uint64(), Seq: r.Uvarint(), Acked: r.Uvarint()}, time: r.Uvarint()}
	res := &rec.result
	res.Status = msg.Status(r.Byte())
	if res.Found = flags&recordFound != 0; res.Found {
		res.Old, res.OldVersion = own(r.Bytes(msg.MaxValue, "bytes of a value")), version(r)
	}
	if flags&recordVersion != 0 {
		res.Version = version(r)
	}
	rs := &l.s.records
	sess := rs.sessions[rec.id.Client]
	newest := rs.ledger.newest()
	switch {
	case r.Err() != nil:
		return
	case !remembered(rec.id) || rec.id.Acked >= rec.id.Seq || rs.has(rec.id) || sess != nil && sess.acked > rec.id.Acked:
		r.Fail("image has a record that can't be: of operation %+v", rec.id)
		return
	case rec.time > l.s.now || newest != nil && rec.time < newest.time:
		r.Fail("image has a record of time %d in the wrong place", rec.time)
		return
	}
	if sess == nil {
		sess = new(session)
		rs.sessions[rec.id.Client] = sess
	}
	rs.link(sess, rec)
	if rs.ledger.n > l.s.limits.Records || rs.bytes > l.s.limits.RecordBytes {
		r.Fail("image is above its limits %+v", l.s.limits)
	}
}

func version(r *wire.Reader) msg.Version {
	return msg.Version{Epoch: r.Uvarint(), Seq: r.Uvarint()}
}
