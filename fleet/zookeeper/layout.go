package zookeeper

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
)

// layout names the znodes of a fleet, under its root.
type layout struct{ root string }

func (l layout) config() string              { return path.Join(l.root, "config") }
func (l layout) members() string             { return path.Join(l.root, "members") }
func (l layout) member(name string) string   { return path.Join(l.members(), name) }
func (l layout) announce(addr string) string { return l.member(addr + "-") } // ZooKeeper appends the number
func (l layout) drain(addr string) string    { return l.member(drainPrefix + addr) }
func (l layout) views() string               { return path.Join(l.root, "views") }
func (l layout) view(version uint64) string  { return path.Join(l.views(), viewName(version)) }
func (l layout) done() string                { return path.Join(l.root, "done") }

// checkPath says what is wrong with p as the path of a fleet's root.
func checkPath(p string) error {
	if p != path.Clean(p) || !strings.HasPrefix(p, "/") || p == "/" {
		return fmt.Errorf("%q is no path for a fleet in ZooKeeper: write it as /torc or /team/cache", p)
	}
	for _, r := range p {
		if r < 0x20 || r == 0x7f || r > 0x7e {
			return fmt.Errorf("%q is no path for a fleet in ZooKeeper: it has the character %q", p, r)
		}
	}
	if p == "/zookeeper" || strings.HasPrefix(p, "/zookeeper/") {
		return fmt.Errorf("%q is ZooKeeper's own: write the path as /torc or /team/cache", p)
	}
	return nil
}

// Kind is what a child of members is.
type Kind uint8

// The kinds of children.
const (
	// Announcement: made by a watchdog, ephemeral.
	Announcement Kind = iota
	// Drain: made by a person's word, persistent.
	Drain
	// Strange: none of ours. It counts for nothing.
	Strange
)

const (
	drainPrefix    = "drain-"
	sequenceDigits = 10
)

// childName is the name of a child of members, taken apart.
type childName struct {
	name     string
	kind     Kind
	addr     string
	sequence uint64 // of an announcement; grows with each creation
}

// parseChild takes a child's name apart. The two forms can't be mixed up: an
// announcement ends in a hyphen and ten digits, a drain in a port.
func parseChild(name string) childName {
	strange := childName{name: name, kind: Strange}
	if i := len(name) - sequenceDigits - 1; i > 0 && name[i] == '-' && onlyDigits(name[i+1:]) {
		sequence, err := strconv.ParseUint(name[i+1:], 10, 64)
		if err != nil || torc.CheckAddr(name[:i]) != nil {
			return strange
		}
		return childName{name: name, kind: Announcement, addr: name[:i], sequence: sequence}
	}
	if addr, ok := strings.CutPrefix(name, drainPrefix); ok && torc.CheckAddr(addr) == nil {
		return childName{name: name, kind: Drain, addr: addr}
	}
	return strange
}

func onlyDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// living sorts out a list of children: for each address the announcement that
// counts, which is the one with the highest number (a watchdog that was killed
// leaves its own behind until its session is over), sorted by address; which
// addresses are drained; and the names that are none of ours.
func living(children []string) (alive []childName, drained map[string]bool, strange []string) {
	byAddr := make(map[string]childName)
	drained = make(map[string]bool)
	for _, name := range children {
		c := parseChild(name)
		switch c.kind {
		case Announcement:
			if other, ok := byAddr[c.addr]; !ok || other.sequence < c.sequence {
				byAddr[c.addr] = c
			}
		case Drain:
			drained[c.addr] = true
		case Strange:
			strange = append(strange, name)
		}
	}
	for _, c := range byAddr {
		alive = append(alive, c)
	}
	slices.SortFunc(alive, func(a, b childName) int { return cmp.Compare(a.addr, b.addr) })
	return alive, drained, strange
}

// ofAddr returns the announcements of addr among the children, from the oldest
// to the newest.
func ofAddr(children []string, addr string) []childName {
	var found []childName
	for _, name := range children {
		if c := parseChild(name); c.kind == Announcement && c.addr == addr {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b childName) int { return cmp.Compare(a.sequence, b.sequence) })
	return found
}

// announcementData is what is written into an announcement.
type announcementData struct {
	Weight uint32 `json:"weight"`
}

// parseWeight reads an announcement's data. One made by hand, without data, has
// weight 1.
func parseWeight(data []byte) (uint32, error) {
	if len(data) == 0 {
		return 1, nil
	}
	var d announcementData
	if err := json.Unmarshal(data, &d); err != nil {
		return 0, err
	}
	if d.Weight < 1 || d.Weight > fleet.MaxWeight {
		return 0, fmt.Errorf("weight %d is not from 1 to %d", d.Weight, fleet.MaxWeight)
	}
	return d.Weight, nil
}
