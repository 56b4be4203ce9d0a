package chord

import (
	"strconv"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// movedPrefix begins what a node answers to who asked it for a key that another one
// owns, and can be told so (memcache.Config.Redirect):
//
//	SERVER_ERROR moved FROM TO BOOT HOST:PORT
//
// The node with that boot ID, in hexadecimal, owns the places clockwise from FROM,
// without it, to TO, with it; both are identifiers as people write them, in decimal.
// All places there are if they are the same. It is true of when it was said, as far as
// who said it knew.
const movedPrefix = "SERVER_ERROR moved "

// everywhere is a circle with every place that there can be, for parsing: what is
// outside of a table's own fits into no span of it.
const everywhere = place.Circle(place.MaxBits)

// movedLine says that owner has the span.
func movedLine(span msg.Span, owner ring.Ref) string {
	return movedPrefix + span.From.String() + " " + span.To.String() + " " + strconv.FormatUint(owner.Boot, 16) + " " + owner.Addr
}

// parseMoved reads a line that movedLine wrote, and nothing else. The owner's place is
// the end of the span.
func parseMoved(line string) (span msg.Span, owner ring.Ref, ok bool) {
	rest, ok := strings.CutPrefix(line, movedPrefix)
	f := strings.Split(rest, " ")
	if !ok || len(f) != 4 {
		return msg.Span{}, ring.Ref{}, false
	}
	from, errFrom := everywhere.Parse(f[0])
	to, errTo := everywhere.Parse(f[1])
	boot, errBoot := strconv.ParseUint(f[2], 16, 64)
	if errFrom != nil || errTo != nil || errBoot != nil || boot == 0 || torc.CheckAddr(f[3]) != nil {
		return msg.Span{}, ring.Ref{}, false
	}
	span, owner = msg.Span{From: from, To: to}, ring.Ref{Place: to, Boot: boot, Addr: f[3]}
	return span, owner, movedLine(span, owner) == line
}
