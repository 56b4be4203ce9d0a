package zookeeper

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/internal/fence"
)

// keptViews is how many views are kept besides the newest. With one change a
// minute that is the last four hours; what is older counts as unknown, and its
// values as stale.
const keptViews = 256

const viewDigits = 10

func viewName(version uint64) string { return fmt.Sprintf("%0*d", viewDigits, version) }

func parseViewName(name string) (version uint64, ok bool) {
	if len(name) != viewDigits || !onlyDigits(name) {
		return 0, false
	}
	version, err := strconv.ParseUint(name, 10, 64)
	return version, err == nil && version <= fence.MaxVersion
}

// viewData is what is written into a view.
type viewData struct {
	Generation uint64       `json:"generation"`
	Servers    []viewServer `json:"servers"`
}

type viewServer struct {
	Addr        string `json:"addr"`
	Weight      uint32 `json:"weight"`
	Name        string `json:"name,omitempty"`
	Incarnation string `json:"incarnation"`
	Drained     bool   `json:"drained,omitempty"`
}

func encodeView(generation uint64, servers []fleet.Server) []byte {
	d := viewData{Generation: generation, Servers: make([]viewServer, len(servers))}
	for i, s := range servers {
		d.Servers[i] = viewServer{Addr: s.Addr, Weight: s.Weight, Name: s.Name, Incarnation: s.Incarnation, Drained: s.Drained}
	}
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // numbers and strings
	}
	return data
}

// parseView reads what is in a view. The servers are sorted by address, one for
// each.
func parseView(data []byte) (generation uint64, servers []fleet.Server, err error) {
	var d viewData
	if err := json.Unmarshal(data, &d); err != nil {
		return 0, nil, err
	}
	servers = make([]fleet.Server, len(d.Servers))
	for i, s := range d.Servers {
		if s.Addr == "" || s.Weight < 1 || s.Weight > fleet.MaxWeight || i > 0 && d.Servers[i-1].Addr >= s.Addr {
			return 0, nil, fmt.Errorf("server %d, %q, has no address, is out of order or has no weight from 1 to %d", i, s.Addr, fleet.MaxWeight)
		}
		servers[i] = fleet.Server{Addr: s.Addr, Weight: s.Weight, Name: s.Name, Incarnation: s.Incarnation, Drained: s.Drained}
	}
	return d.Generation, servers, nil
}

// doneData is what is written into done.
type doneData struct {
	Generation uint64 `json:"generation"`
	Version    uint64 `json:"version"`
}

func (d doneData) encode() []byte {
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // numbers
	}
	return data
}

// parseDone reads what is in done. What can't be read says that nothing is done.
func parseDone(data []byte) doneData {
	var d doneData
	if json.Unmarshal(data, &d) != nil {
		return doneData{}
	}
	return d
}

// of is the version that is done in the given generation.
func (d doneData) of(generation uint64) uint64 {
	if d.Generation != generation {
		return 0
	}
	return d.Version
}

// history is the views of one generation that are known to be recorded. It does
// no I/O.
type history struct {
	generation uint64
	// views by version. Those that this client has recorded are without the time
	// of it until they have been read as everybody's.
	views map[uint64]fleet.Past
}

// begin goes over to a generation, of which nothing is known unless it is the
// one before.
func (h *history) begin(generation uint64) {
	if h.views == nil || h.generation != generation {
		h.generation, h.views = generation, make(map[uint64]fleet.Past)
	}
}

// listed takes in which views there are, sorted, beside the present one, which
// may be among them. It returns which to read. With lost, a view that is known
// should be there and is not: so ZooKeeper has lost changes, and who knows which
// others.
func (h *history) listed(versions []uint64, present uint64) (unread []uint64, lost bool) {
	keep := keptViews
	if _, there := slices.BinarySearch(versions, present); there {
		keep++
	}
	kept := versions[max(0, len(versions)-keep):]
	for v := range h.views {
		if _, there := slices.BinarySearch(kept, v); there {
			continue
		}
		if at, there := slices.BinarySearch(versions, v); !there && len(versions)-at < keptViews {
			return nil, true
		}
		delete(h.views, v)
	}
	for _, v := range kept {
		if h.views[v].Recorded.IsZero() {
			unread = append(unread, v)
		}
	}
	return unread, false
}

// surplus returns those of the sorted versions that whoever records another one
// removes: each has keptViews newer ones. As views come only above, what is
// surplus stays so, whoever looks; and as nobody removes anything else, a view
// that is missing without being surplus is lost.
func surplus(versions []uint64) []uint64 { return versions[:max(0, len(versions)-keptViews)] }

// before returns the views before the given version, sorted.
func (h *history) before(version uint64) []fleet.Past {
	past := make([]fleet.Past, 0, len(h.views))
	for _, v := range slices.Sorted(maps.Keys(h.views)) {
		if v < version {
			past = append(past, h.views[v])
		}
	}
	return past
}

// parseViewNames returns the versions of those children of views that are ours,
// sorted.
func parseViewNames(names []string) []uint64 {
	var versions []uint64
	for _, name := range names {
		if v, ok := parseViewName(name); ok {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, cmp.Compare)
	return versions
}

// setBack is the error of a directory that has lost changes.
type setBack string

func (s setBack) Error() string { return string(s) }
