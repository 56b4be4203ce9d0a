package simnet

import (
	"fmt"
	"io"
	"math/bits"
	"strings"
)

// traced is what a line of the trace, or a step of the hash, is about.
type traced uint64

const (
	markStart traced = iota
	markMessage
	markLost
	markDatagram
	markDropped
	markUp
	markDown
	markClose
	markTick
	markCall
	markNote
	markFault
	markUndo
)

type trace struct {
	w    io.Writer
	hash uint64
}

const hashStart = 0x6a09e667f3bcc908

// Hash returns what the whole run so far comes down to: two runs of one seed
// agree at every instant, traced or not, and runs that differ anywhere differ in
// it, save by a chance that nobody lives to see.
func (n *Network[M]) Hash() uint64 { return n.trace.hash }

// mix adds an event to the hash.
func (n *Network[M]) mix(what traced, a, b int32, x uint64) {
	h := n.trace.hash
	h = bits.RotateLeft64(h^uint64(n.now), 29) * 0x9e3779b97f4a7c15
	h = bits.RotateLeft64(h^(uint64(what)<<56^uint64(uint32(a))<<24^uint64(uint32(b))), 31) * 0xbf58476d1ce4e5b9
	n.trace.hash = (h ^ h>>29 ^ x) * 0x94d049bb133111eb
}

func (n *Network[M]) digest(m M) uint64 {
	if n.config.Digest == nil {
		return 0
	}
	return n.config.Digest(m)
}

// digestOf returns what stands for a text in the hash.
func digestOf(text string) uint64 {
	c := newChance(0, text)
	return c.next()
}

// print writes a line of the trace.
func (n *Network[M]) print(format string, args ...any) {
	us := n.now / 1000
	fmt.Fprintf(n.trace.w, "%4d.%06d s  ", us/million, us%million)
	fmt.Fprintf(n.trace.w, format, args...)
	_, _ = io.WriteString(n.trace.w, "\n")
}

// note adds an event that is not a message.
func (n *Network[M]) note(what traced, a, b int32, x uint64, format string, args ...any) {
	n.mix(what, a, b, x)
	if n.trace.w != nil {
		n.print(format, args...)
	}
}

// lazy is text that is put together only if somebody wants to see it.
type lazy struct {
	format string
	args   []any
}

func (l lazy) String() string { return fmt.Sprintf(l.format, l.args...) }

// fate tells what became of an entry.
func (n *Network[M]) fate(what traced, c *conn[M], end int, e *entry[M]) {
	if e.mark != message {
		return
	}
	from, to := c.ends[end].node, c.ends[1-end].node
	if what == markLost {
		n.lost(from, to, c.id, e.msg)
		return
	}
	n.mix(what, from, to, c.id^n.digest(e.msg))
	if n.trace.w != nil {
		n.print("%s -> %s#%d  %s", n.nodes[from].addr, n.nodes[to].addr, c.id, n.config.Format(e.msg))
	}
}

// lost tells that a message went down with its connection, or for want of one.
func (n *Network[M]) lost(from, to int32, id uint64, m M) {
	n.stats.Lost++
	n.mix(markLost, from, to, id^n.digest(m))
	if n.trace.w != nil {
		n.print("%s -x %s#%d  %s", n.nodes[from].addr, n.nodes[to].addr, id, n.config.Format(m))
	}
}

// dropped tells that a datagram was lost.
func (n *Network[M]) dropped(from, to int32, m M) {
	n.stats.Dropped++
	n.mix(markDropped, from, to, n.digest(m))
	if n.trace.w != nil {
		n.print("%s ~x %s  %s", n.nodes[from].addr, n.nodes[to].addr, n.config.Format(m))
	}
}

// Diff compares two traces and returns where they part: the last lines they have
// in common and the first that differs of each. It is empty for equal traces.
func Diff(a, b string) string {
	if a == b {
		return ""
	}
	as, bs := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	same := 0
	for same < min(len(as), len(bs)) && as[same] == bs[same] {
		same++
	}
	var out strings.Builder
	line := func(sign string, lines []string, i int) {
		text := ""
		if i < len(lines) {
			text = strings.TrimSuffix(lines[i], "\n")
		}
		if text == "" {
			text = "(the end)"
		}
		fmt.Fprintf(&out, "%s %d: %s\n", sign, i+1, text)
	}
	for i := max(0, same-3); i < same; i++ {
		line(" ", as, i)
	}
	line("-", as, same)
	line("+", bs, same)
	return out.String()
}
