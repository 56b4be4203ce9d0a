package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// Preface is what a connection between nodes begins with, so that it is told from
// a client's: no HTTP request begins with a zero byte.
const Preface = "\x00torc-replica/1\n"

// protocol is the version of what follows the preface. Nodes of different
// versions don't talk.
const protocol = 1

// maxHello bounds the bytes of a hello and of its answer: four addresses with
// names of the greatest length that DNS has fit in.
const maxHello = 4096

// hello is the first frame, sent by who dialed.
type hello struct {
	version  uint64
	from, to int    // slots: the sender's, and that of who is meant
	boot     uint64 // drawn when the sender started
	number   uint64 // of the call, among those of this boot, from 1
	addrs    []string
}

// verdict is what a hello is answered.
type verdict uint8

const (
	welcome verdict = iota
	otherVersion
	otherList
	otherNode // the sender means somebody else, or says that it is this very node
)

// answer is the frame sent back, which tells the other side with whom it has to do.
type answer struct {
	verdict verdict
	version uint64
	boot    uint64 // drawn when the answering node started
	addrs   []string
}

var errHello = errors.New("this is no hello")

func (h *hello) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, h.version)
	dst = append(dst, byte(h.from), byte(h.to))
	dst = binary.LittleEndian.AppendUint64(dst, h.boot)
	dst = binary.LittleEndian.AppendUint64(dst, h.number)
	return appendAddrs(dst, h.addrs)
}

// parseHello takes apart what append made. Of another version nothing but the
// version is read.
func parseHello(b []byte) (h hello, err error) {
	version, n := binary.Uvarint(b)
	if n <= 0 {
		return hello{}, errHello
	}
	if h.version = version; version != protocol {
		return h, nil
	}
	if b = b[n:]; len(b) < 18 {
		return hello{}, errHello
	}
	h.from, h.to = int(b[0]), int(b[1])
	h.boot, h.number = binary.LittleEndian.Uint64(b[2:]), binary.LittleEndian.Uint64(b[10:])
	if h.addrs, err = parseAddrs(b[18:]); err != nil {
		return hello{}, err
	}
	return h, nil
}

// judge answers h for the node of slot self that has this boot and list.
func (h *hello) judge(self int, boot uint64, addrs []string) answer {
	a := answer{verdict: welcome, version: protocol, boot: boot, addrs: addrs}
	switch {
	case h.version != protocol:
		a.verdict = otherVersion
	case !slices.Equal(h.addrs, addrs):
		a.verdict = otherList
	case h.to != self || h.from == self || h.from >= len(addrs):
		a.verdict = otherNode
	}
	return a
}

func (a *answer) append(dst []byte) []byte {
	dst = append(dst, byte(a.verdict))
	dst = binary.AppendUvarint(dst, a.version)
	dst = binary.LittleEndian.AppendUint64(dst, a.boot)
	return appendAddrs(dst, a.addrs)
}

func parseAnswer(b []byte) (a answer, err error) {
	if len(b) == 0 || verdict(b[0]) > otherNode {
		return answer{}, errHello
	}
	a.verdict = verdict(b[0])
	version, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return answer{}, errHello
	}
	if a.version = version; version != protocol {
		a.verdict = otherVersion // whatever else it says
		return a, nil
	}
	if b = b[1+n:]; len(b) < 8 {
		return answer{}, errHello
	}
	a.boot = binary.LittleEndian.Uint64(b)
	if a.addrs, err = parseAddrs(b[8:]); err != nil {
		return answer{}, err
	}
	return a, nil
}

func appendAddrs(dst []byte, addrs []string) []byte {
	dst = append(dst, byte(len(addrs)))
	for _, a := range addrs {
		dst = binary.AppendUvarint(dst, uint64(len(a)))
		dst = append(dst, a...)
	}
	return dst
}

func parseAddrs(b []byte) ([]string, error) {
	if len(b) == 0 || int(b[0]) > msg.MaxNodes {
		return nil, errHello
	}
	addrs := make([]string, b[0])
	b = b[1:]
	for i := range addrs {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return nil, errHello
		}
		b = b[n:]
		addrs[i], b = string(b[:length]), b[length:]
	}
	if len(b) > 0 {
		return nil, errHello
	}
	return addrs, nil
}

// explain says why the node that has list mine was not welcome, or did not
// welcome somebody, whose version and list are theirs.
func (v verdict) explain(mine []string, version uint64, theirs []string) string {
	switch v {
	case otherVersion:
		return fmt.Sprintf("it speaks version %d of the protocol between nodes, and this node version %d: run the same torc on both", version, protocol)
	case otherList:
		return fmt.Sprintf("its servers.txt has %s, and this node's %s: give both the same servers", list(theirs), list(mine))
	case otherNode:
		return "who is called is not who answers: two of the addresses of servers.txt lead to one node, or two nodes have the same first line"
	}
	return "welcome"
}

// list is a list of addresses as a person reads it. What came from outside is
// quoted if there is anything odd about it.
func list(addrs []string) string {
	text := strings.Join(addrs, " ")
	if quoted := fmt.Sprintf("%q", text); len(quoted) != len(text)+2 {
		return quoted
	}
	return "[" + text + "]"
}
