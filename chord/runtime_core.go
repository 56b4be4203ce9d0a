package chord

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/place"
)

// Whereabouts says where a node of this machine is.
type Whereabouts struct {
	// ID is the node's identifier, in decimal.
	ID string
	// Addr is where it listens, host:port.
	Addr string
	// Boot names this life of it: a node that is started again has another one.
	Boot uint64
	// Pid is its process.
	Pid int
	// Joined: it is part of a ring, or founds one. Until then it is on its way in.
	Joined bool
}

// written is Whereabouts as a file has it.
type written struct {
	ID     string `json:"id"`
	Addr   string `json:"addr"`
	Boot   string `json:"boot"` // hexadecimal: JSON's readers may take numbers for floats
	Pid    int    `json:"pid"`
	Joined bool   `json:"joined"`
}

func (w Whereabouts) encode() []byte {
	b, err := json.Marshal(written{w.ID, w.Addr, strconv.FormatUint(w.Boot, 16), w.Pid, w.Joined})
	if err != nil {
		panic(err) // of such a struct there is none
	}
	return append(b, '\n')
}

// decodeWhereabouts reads what encode wrote; what is no such thing is an error.
func decodeWhereabouts(b []byte) (Whereabouts, error) {
	var f written
	if err := json.Unmarshal(b, &f); err != nil {
		return Whereabouts{}, err
	}
	boot, err := strconv.ParseUint(f.Boot, 16, 64)
	id, errID := canonicalID(f.ID)
	if err := errors.Join(err, errID, torc.CheckAddr(f.Addr)); err != nil {
		return Whereabouts{}, err
	}
	if id != f.ID || boot == 0 || f.Pid <= 0 {
		return Whereabouts{}, errors.New("an identifier, a boot or a process that none can have")
	}
	return Whereabouts{f.ID, f.Addr, boot, f.Pid, f.Joined}, nil
}

// String names the node as a person may look for it.
func (w Whereabouts) String() string {
	return fmt.Sprintf("node %s at %s, process %d", w.ID, w.Addr, w.Pid)
}

// standing is what is to be thought of a node that a folder names.
type standing uint8

const (
	gone    standing = iota // that life of it is over
	mute                    // its process is there, and gives no sign
	joining                 // it is on its way into a ring
	member                  // it is part of one
)

// greeting is what a node answers to who asks it what it is.
type greeting struct {
	id     string
	boot   uint64
	joined bool
}

var (
	errRefused = errors.New("nobody listens there")
	errForeign = errors.New("what listens there is no node of a ring")
)

// judge says how the node of w stands, from what came of asking at its address: an
// answer or an error, of which errRefused and errForeign are certain. pidLives tells
// whether there is a process of its number, which may be another one by now.
func judge(w Whereabouts, g greeting, err error, pidLives bool) standing {
	switch {
	case err == nil && (g.boot != w.Boot || g.id != w.ID):
		return gone // the port is somebody else's
	case err == nil && g.joined:
		return member
	case err == nil:
		return joining
	case errors.Is(err, errRefused), errors.Is(err, errForeign), !pidLives:
		return gone
	}
	return mute
}

// NodeName is how a person names a node: by its identifier, which a folder knows, or
// by that and its address.
type NodeName struct {
	ID   string // in decimal
	Addr string // host:port; "" if not given
}

// ParseNodeName reads ID or ID@HOST:PORT.
func ParseNodeName(text string) (NodeName, error) {
	id, addr, at := strings.Cut(text, "@")
	id, err := canonicalID(id)
	if err != nil {
		return NodeName{}, fmt.Errorf("node %q: %w (a node is named ID or ID@HOST:PORT)", text, err)
	}
	if at {
		if err := torc.CheckAddr(addr); err != nil {
			return NodeName{}, fmt.Errorf("node %q: %w (a node is named ID or ID@HOST:PORT)", text, err)
		}
	}
	return NodeName{id, addr}, nil
}

// String is what ParseNodeName reads.
func (n NodeName) String() string {
	if n.Addr == "" {
		return n.ID
	}
	return n.ID + "@" + n.Addr
}

// maxDigits is how many 2^160 has.
const maxDigits = 49

// canonicalID returns an identifier as all write it: without zeros before it.
func canonicalID(id string) (string, error) {
	digits, err := decimal(id)
	if err == nil && len(digits) > maxDigits {
		err = errors.New("no ring has so large an identifier")
	}
	return digits, err
}

// ParseKey reads a key of the programs: a decimal number. Zeros before it don't count.
func ParseKey(text string) (string, error) {
	key, err := decimal(text)
	if err == nil && len(key) > torc.MaxKeyLen {
		err = fmt.Errorf("it has %d digits: at most %d", len(key), torc.MaxKeyLen)
	}
	if err != nil {
		return "", fmt.Errorf("key %s: %w", torc.QuoteKey(text), err)
	}
	return key, nil
}

// decimal returns a number of digits only without the zeros before it.
func decimal(text string) (string, error) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return "", errors.New("it is not a decimal number")
	}
	if text = strings.TrimLeft(text, "0"); text == "" {
		return "0", nil
	}
	return text, nil
}

var ringName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// checkRingName says what is wrong with a ring's name, if anything: it becomes a
// folder's.
func checkRingName(name string) error {
	if !ringName.MatchString(name) {
		return fmt.Errorf("ring %q: a name is 1 to 64 letters, digits and . _ -, and begins with none of . and -", name)
	}
	return nil
}

// ParseID reads the identifier of a node in a ring of 2^bits places, and returns it as
// all write it. The error says what there can be.
func ParseID(bits int, id string) (string, error) {
	c, err := place.New(bits)
	if err != nil {
		return "", err
	}
	p, err := c.Parse(id)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}
