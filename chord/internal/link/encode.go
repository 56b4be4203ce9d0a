package link

import (
	"encoding/binary"
	"fmt"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// The form of messages on the wire. Each begins with a byte that says which it is;
// its parts follow in the order in which their structures have them:
//
//	number      varint; what is random or a time: 8 bytes, little-endian
//	place       length (0 to 20), and so many bytes, the most significant first
//	text        length, and so many bytes
//	list        length, and so many parts
//	what may be missing, and what is yes or no: a bit of the mask before it
//
// It is not a form to be kept: all nodes of a ring are of one msg.Version, which
// changes with it.

// wireKind says which message it is.
type wireKind uint8

const (
	wireRing wireKind = iota + 1
	wirePing
	wirePong
	wireQuery
	wireHoldings
	wireDeposed
	wireBye
	wireBatch
	wireAck
	wireRefused
)

// appendMessage appends m. It panics if m is no message, which is a mistake of who
// sends it.
func appendMessage(b []byte, m msg.Message) []byte {
	switch m := m.(type) {
	case *ring.Message:
		return appendRing(append(b, byte(wireRing)), m)
	case *msg.Ping:
		return appendClaim(appendFixed(append(b, byte(wirePing)), uint64(m.Sent)), &m.Claim)
	case *msg.Pong:
		return append(appendFixed(append(b, byte(wirePong)), uint64(m.Sent)), mask(m.Promise, m.Full, m.Leaving))
	case *msg.Query:
		return appendSpan(appendFixed(append(b, byte(wireQuery)), m.Nonce), &m.Span)
	case *msg.Holdings:
		b = appendFixed(append(b, byte(wireHoldings)), m.Nonce)
		b = binary.AppendUvarint(b, uint64(len(m.All)))
		for i := range m.All {
			b = appendHolding(b, &m.All[i])
		}
		b = binary.AppendUvarint(b, uint64(len(m.Claims)))
		for i := range m.Claims {
			b = appendClaim(b, &m.Claims[i])
		}
		return b
	case *msg.Deposed:
		return appendClaim(append(b, byte(wireDeposed)), &m.Claim)
	case *msg.Bye:
		b = append(b, byte(wireBye), mask(m.Failed))
		return appendRefs(appendRef(b, &m.Predecessor), m.List)
	case *msg.Batch:
		b = binary.AppendUvarint(append(b, byte(wireBatch)), m.First)
		b = binary.AppendUvarint(b, uint64(len(m.Items)))
		for i := range m.Items {
			b = appendItem(b, &m.Items[i])
		}
		return b
	case *msg.Ack:
		return append(binary.AppendUvarint(append(b, byte(wireAck)), m.Upto), mask(m.Full))
	case *msg.Refused:
		b = binary.AppendUvarint(append(b, byte(wireRefused)), m.Number)
		return appendClaim(appendSpan(b, &m.Span), &m.Claim)
	}
	panic(fmt.Sprintf("link: %T is no message", m))
}

// mask has a bit for each, the first one's the lowest.
func mask(bits ...bool) (m byte) {
	for i, bit := range bits {
		if bit {
			m |= 1 << i
		}
	}
	return m
}

func appendFixed(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

func appendPlace(b []byte, p *place.Place) []byte {
	zeros := 0
	for zeros < len(p) && p[zeros] == 0 {
		zeros++
	}
	return append(append(b, byte(len(p)-zeros)), p[zeros:]...)
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendRef(b []byte, r *ring.Ref) []byte {
	if *r == (ring.Ref{}) {
		return append(b, 0)
	}
	b = appendPlace(append(b, 1), &r.Place)
	return appendText(appendFixed(b, r.Boot), r.Addr)
}

func appendRefs(b []byte, all []ring.Ref) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for i := range all {
		b = appendRef(b, &all[i])
	}
	return b
}

func appendRing(b []byte, m *ring.Message) []byte {
	b = append(b, byte(m.Kind), mask(m.Busy, m.Done))
	b = binary.AppendUvarint(b, m.Nonce)
	b = appendPlace(appendRef(b, &m.From), &m.Target)
	return appendRefs(appendRef(b, &m.Predecessor), m.List)
}

func appendSpan(b []byte, s *msg.Span) []byte {
	return appendPlace(appendPlace(b, &s.From), &s.To)
}

func appendTerm(b []byte, t *msg.Term) []byte {
	return append(appendFixed(binary.AppendUvarint(b, t.Number), t.Boot), mask(t.Bare))
}

func appendClaim(b []byte, c *msg.Claim) []byte {
	b = appendRef(appendSpan(b, &c.Span), &c.Owner)
	b = binary.AppendUvarint(binary.AppendUvarint(appendTerm(b, &c.Term), c.Config), c.Graves)
	b = binary.AppendUvarint(b, uint64(len(c.Bases)))
	for i := range c.Bases {
		base := &c.Bases[i]
		b = appendTerm(appendSpan(b, &base.Span), &base.Term)
		b = binary.AppendUvarint(binary.AppendUvarint(b, base.Config), base.Seq)
	}
	return b
}

func appendHolding(b []byte, h *msg.Holding) []byte {
	b = appendClaim(appendSpan(b, &h.Span), &h.Claim)
	return append(binary.AppendUvarint(b, h.Seq), mask(h.Complete, h.Serving))
}

func appendOp(b []byte, o *msg.OpID) []byte {
	b = appendFixed(b, o.Client)
	return binary.AppendUvarint(binary.AppendUvarint(b, o.Number), o.Oldest)
}

// What an entry may have.
const (
	entryRemoved = 1 << iota
	entryExpires
	entryFlags
	entryMarks
	entryBy

	entryBits = iota
)

func appendEntry(b []byte, e *msg.Entry) []byte {
	has := mask(e.Removed, e.Expires != 0, e.Flags != 0, e.Marks != 0, e.By != msg.OpID{})
	b = append(b, has)
	b = appendText(appendText(b, e.Key), e.Value)
	b = appendFixed(b, e.Stamp)
	if has&entryExpires != 0 {
		b = appendFixed(b, e.Expires)
	}
	if has&entryFlags != 0 {
		b = binary.AppendUvarint(b, uint64(e.Flags))
	}
	if has&entryMarks != 0 {
		b = append(b, e.Marks)
	}
	if has&entryBy != 0 {
		b = appendOp(b, &e.By)
	}
	return b
}

func appendRecord(b []byte, r *msg.Record) []byte {
	b = appendPlace(appendOp(b, &r.Op), &r.Place)
	return appendFixed(append(appendFixed(b, r.Stamp), r.Refusal), r.At)
}

// What an item may have.
const (
	itemSpan = 1 << iota
	itemClaim
	itemTerm
	itemSeq
	itemNonce
	itemEntry
	itemRecord
	itemLists // Entries, Records, Holders

	itemBits = iota
)

// isZero tells whether a claim says nothing; it can't be compared.
func isZero(c *msg.Claim) bool {
	return len(c.Bases) == 0 && c.Span == msg.Span{} && c.Owner == ring.Ref{} && c.Term == msg.Term{} && c.Config == 0 && c.Graves == 0
}

func hasEntry(e *msg.Entry) bool {
	return e.Key != "" || len(e.Value) > 0 || e.Stamp != 0 || e.Expires != 0 || e.Flags != 0 || e.Marks != 0 || e.Removed || e.By != msg.OpID{}
}

func appendItem(b []byte, it *msg.Item) []byte {
	has := mask(it.Span != msg.Span{}, !isZero(&it.Claim), it.Term != msg.Term{}, it.Seq != 0, it.Nonce != 0,
		hasEntry(&it.Entry), it.Record != msg.Record{}, len(it.Entries)+len(it.Records)+len(it.Holders) > 0)
	b = append(b, byte(it.Kind), byte(it.Purpose), has)
	if has&itemSpan != 0 {
		b = appendSpan(b, &it.Span)
	}
	if has&itemClaim != 0 {
		b = appendClaim(b, &it.Claim)
	}
	if has&itemTerm != 0 {
		b = appendTerm(b, &it.Term)
	}
	if has&itemSeq != 0 {
		b = binary.AppendUvarint(b, it.Seq)
	}
	if has&itemNonce != 0 {
		b = appendFixed(b, it.Nonce)
	}
	if has&itemEntry != 0 {
		b = appendEntry(b, &it.Entry)
	}
	if has&itemRecord != 0 {
		b = appendRecord(b, &it.Record)
	}
	if has&itemLists != 0 {
		b = binary.AppendUvarint(b, uint64(len(it.Entries)))
		for i := range it.Entries {
			b = appendEntry(b, &it.Entries[i])
		}
		b = binary.AppendUvarint(b, uint64(len(it.Records)))
		for i := range it.Records {
			b = appendRecord(b, &it.Records[i])
		}
		b = appendRefs(b, it.Holders)
	}
	return b
}

// About how many bytes parts have, on the wire and in memory, rather more than less,
// as long as addresses are no longer than most.
const (
	refWeight    = 64
	claimWeight  = 192
	baseWeight   = 88
	entryWeight  = 64
	recordWeight = 72
	itemWeight   = 96
)

// weight is about how many bytes m has on the wire.
func weight(m msg.Message) int {
	switch m := m.(type) {
	case *msg.Batch:
		n := itemWeight
		for i := range m.Items {
			n += weightOfItem(&m.Items[i])
		}
		return n
	case *msg.Holdings:
		n := itemWeight
		for i := range m.All {
			n += claimWeight + weightOfClaim(&m.All[i].Claim)
		}
		for i := range m.Claims {
			n += claimWeight + weightOfClaim(&m.Claims[i])
		}
		return n
	case *ring.Message:
		return 3*refWeight + refWeight*len(m.List)
	case *msg.Bye:
		return 2*refWeight + refWeight*len(m.List)
	case *msg.Ping:
		return weightOfClaim(&m.Claim)
	case *msg.Deposed:
		return weightOfClaim(&m.Claim)
	case *msg.Refused:
		return refWeight + weightOfClaim(&m.Claim)
	}
	return refWeight
}

func weightOfClaim(c *msg.Claim) int { return claimWeight + baseWeight*len(c.Bases) }

func weightOfItem(it *msg.Item) int {
	n := itemWeight + weightOfEntry(&it.Entry) + recordWeight*(1+len(it.Records)) + refWeight*len(it.Holders)
	if !isZero(&it.Claim) {
		n += weightOfClaim(&it.Claim)
	}
	for i := range it.Entries {
		n += weightOfEntry(&it.Entries[i])
	}
	return n
}

func weightOfEntry(e *msg.Entry) int { return entryWeight + len(e.Key) + len(e.Value) }
