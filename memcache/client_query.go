package memcache

import "strconv"

// op is what a query asks for, and so which answers fit it.
type op uint8

const (
	opGet op = iota
	opHead
	opGetAndTouch
	opTouch
	opSet
	opDelete
	opIncr
	opNoop
	opFlushAll
	opVersion
	opStats
)

// query is one request before it is encoded.
type query struct {
	op      op
	encoded bool // the key goes in base64
	// redirect is Config.Redirect, for queries at a key.
	redirect bool
	mode     Mode
	key      string
	value    []byte
	flags    uint32
	cas      uint64
	exp      int64 // as exptime makes it
	delta    int64
	unused   bool   // of opGet: it is no use of the item
	args     string // of stats
	id       OpID   // of opSet and opDelete; the zero one is none
}

// opaque marks a query that has no OpID, and its answer. It goes over the wire as four printable
// bytes, which are its 24 low bits: more than there are calls in flight.
type opaque uint32

const (
	opaqueLen  = 4
	opaqueMask = 1<<24 - 1
)

const opaqueDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

func appendOpaque(dst []byte, o opaque) []byte {
	return append(dst, ' ', 'O',
		opaqueDigits[o>>18&63], opaqueDigits[o>>12&63], opaqueDigits[o>>6&63], opaqueDigits[o&63])
}

// isOpaque says whether token is o as appendOpaque wrote it, without the O.
func isOpaque(token []byte, o opaque) bool {
	return len(token) == opaqueLen && token[0] == opaqueDigits[o>>18&63] && token[1] == opaqueDigits[o>>12&63] &&
		token[2] == opaqueDigits[o>>6&63] && token[3] == opaqueDigits[o&63]
}

// echo is what the answer to a query has to repeat: the query's OpID if it has
// one, and else its opaque.
type echo struct {
	opaque opaque
	id     OpID
}

// is says whether token is e as it went over the wire, without the O.
func (e *echo) is(token []byte) bool {
	if e.id == (OpID{}) {
		return isOpaque(token, e.opaque)
	}
	var room [opIDLen]byte
	return string(token) == string(appendOpID(room[:0], e.id))
}

var modeFlags = [...]string{
	ModeSet: "", ModeCAS: "",
	ModeAdd: " ME", ModeReplace: " MR", ModeAppend: " MA", ModePrepend: " MP",
}

// maxQueryOverhead is more than a query takes beside its key and its value.
const maxQueryOverhead = 192

// maxLen is more than q takes over the wire.
func (q *query) maxLen() int { return len(q.key) + len(q.value) + maxQueryOverhead }

// appendQuery appends q as it goes over the wire. It keeps nothing of q.
func appendQuery(dst []byte, q *query, o opaque) []byte {
	switch q.op {
	case opGet:
		dst = append(dst, "mg "...)
		dst = appendKey(dst, q.key, q.encoded)
		dst = append(dst, " v f c t"...)
		if q.unused {
			dst = append(dst, " u"...)
		}
	case opHead:
		dst = append(dst, "mg "...)
		dst = appendKey(dst, q.key, q.encoded)
		dst = append(dst, " f c t u"...)
	case opGetAndTouch:
		dst = append(dst, "mg "...)
		dst = appendKey(dst, q.key, q.encoded)
		dst = append(dst, " v f c T"...)
		dst = strconv.AppendInt(dst, q.exp, 10)
		dst = append(dst, " t"...) // behind T, or it would be the time before
	case opTouch:
		dst = append(dst, "mg "...)
		dst = appendKey(dst, q.key, q.encoded)
		dst = append(dst, " T"...)
		dst = strconv.AppendInt(dst, q.exp, 10)
	case opSet:
		dst = append(dst, "ms "...)
		dst = appendKey(dst, q.key, q.encoded)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(len(q.value)), 10)
		dst = append(dst, " c"...)
		if q.exp != 0 {
			dst = append(dst, " T"...)
			dst = strconv.AppendInt(dst, q.exp, 10)
		}
		if q.flags != 0 {
			dst = append(dst, " F"...)
			dst = strconv.AppendUint(dst, uint64(q.flags), 10)
		}
		dst = append(dst, modeFlags[q.mode]...)
		if q.mode == ModeCAS {
			dst = append(dst, " C"...)
			dst = strconv.AppendUint(dst, q.cas, 10)
		}
	case opDelete:
		dst = append(dst, "md "...)
		dst = appendKey(dst, q.key, q.encoded)
		if q.cas != 0 {
			dst = append(dst, " C"...)
			dst = strconv.AppendUint(dst, q.cas, 10)
		}
	case opIncr:
		dst = append(dst, "ma "...)
		dst = appendKey(dst, q.key, q.encoded)
		by := uint64(q.delta)
		if q.delta < 0 {
			by = -by
			dst = append(dst, " MD"...)
		}
		dst = append(dst, " v D"...)
		dst = strconv.AppendUint(dst, by, 10)
	case opNoop:
		return append(dst, "mn\r\n"...)
	case opFlushAll:
		return append(dst, "flush_all\r\n"...)
	case opVersion:
		return append(dst, "version\r\n"...)
	case opStats:
		dst = append(dst, "stats"...)
		if q.args != "" {
			dst = append(dst, ' ')
			dst = append(dst, q.args...)
		}
		return append(dst, "\r\n"...)
	}
	if q.encoded {
		dst = append(dst, " b"...)
	}
	if q.redirect {
		dst = append(dst, " P"...) // memcached leaves that flag to proxies
	}
	if q.id == (OpID{}) {
		dst = appendOpaque(dst, o)
	} else {
		dst = appendOpID(append(dst, " O"...), q.id)
	}
	dst = append(dst, "\r\n"...)
	if q.op == opSet {
		dst = append(dst, q.value...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}
