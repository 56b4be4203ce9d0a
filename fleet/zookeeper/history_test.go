package zookeeper

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/internal/fence"
)

func TestViewNames(t *testing.T) {
	t.Parallel()
	for _, v := range []uint64{0, 1, 42, fence.MaxVersion} {
		if got, ok := parseViewName(viewName(v)); !ok || got != v || len(viewName(v)) != 10 {
			t.Errorf("view %d is called %s and read as %d, %v", v, viewName(v), got, ok)
		}
	}
	for _, name := range []string{"", "1", "00000000001", "000000000x", "-000000001", viewName(fence.MaxVersion + 1), "9999999999"} {
		if v, ok := parseViewName(name); ok {
			t.Errorf("%q is view %d", name, v)
		}
	}
	if got := parseViewNames([]string{"0000000010", "lock", "0000000002"}); !slices.Equal(got, []uint64{2, 10}) {
		t.Errorf("versions %v", got)
	}
}

func TestParseView(t *testing.T) {
	t.Parallel()
	servers := []fleet.Server{
		{Addr: "a:1", Weight: 1, Incarnation: "7/1"},
		{Addr: "b:1", Weight: 600, Name: "b", Incarnation: "7/2", Drained: true},
	}
	for _, want := range [][]fleet.Server{{}, servers} {
		generation, got, err := parseView(encodeView(7, want))
		if err != nil || generation != 7 || !reflect.DeepEqual(got, want) {
			t.Errorf("%v is read as %d, %v, %v", want, generation, got, err)
		}
	}
	for _, data := range []string{
		"", "x", `{"generation":-1}`, `{"servers":[{"addr":"","weight":1}]}`, `{"servers":[{"addr":"a:1","weight":0}]}`,
		`{"servers":[{"addr":"b:1","weight":1},{"addr":"a:1","weight":1}]}`, `{"servers":[{"addr":"a:1","weight":1},{"addr":"a:1","weight":1}]}`,
	} {
		if _, _, err := parseView([]byte(data)); err == nil {
			t.Errorf("%q is read as a view", data)
		}
	}
}

func FuzzParseView(f *testing.F) {
	f.Add(encodeView(7, []fleet.Server{{Addr: "a:1", Weight: 1, Incarnation: "7/1"}, {Addr: "b:1", Weight: 2, Drained: true}}))
	f.Add([]byte(`{"generation":7,"servers":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		generation, servers, err := parseView(data)
		if err != nil {
			return
		}
		g, s, err := parseView(encodeView(generation, servers))
		if err != nil || g != generation || !reflect.DeepEqual(s, servers) {
			t.Fatalf("%q is read as %d, %v, and that written and read as %d, %v, %v", data, generation, servers, g, s, err)
		}
	})
}

func TestDone(t *testing.T) {
	t.Parallel()
	d := parseDone(doneData{Generation: 7, Version: 3}.encode())
	if d.of(7) != 3 || d.of(8) != 0 {
		t.Errorf("done %d in its generation and %d in another", d.of(7), d.of(8))
	}
	for _, data := range []string{"", "3", "x", `{"generation":7,"version":-1}`, `{"generation":7,"version":"3"}`} {
		if got := parseDone([]byte(data)); got != (doneData{}) {
			t.Errorf("%q is read as %+v", data, got)
		}
	}
}

// past makes a history that knows these views, all read but the last.
func past(versions ...uint64) history {
	var h history
	h.begin(7)
	for i, v := range versions {
		p := fleet.Past{Version: v}
		if i < len(versions)-1 {
			p.Recorded = start
		}
		h.views[v] = p
	}
	return h
}

func row(from, to uint64) (versions []uint64) {
	for v := from; v <= to; v++ {
		versions = append(versions, v)
	}
	return versions
}

func TestHistoryReadsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		knows, listed []uint64
		present       uint64
		unread        []uint64
	}{
		{"nothing yet", nil, nil, 1, nil},
		{"all is new", nil, []uint64{3, 5}, 6, []uint64{3, 5}},
		{"the present one too, if another wrote it", nil, []uint64{3, 5}, 5, []uint64{3, 5}},
		{"what it recorded itself is read once", []uint64{3, 5}, []uint64{3, 5}, 6, []uint64{5}},
		{"others recorded some between", []uint64{3, 5}, []uint64{3, 4, 5, 9}, 10, []uint64{4, 5, 9}},
		{"as many as are kept, before the present one is there", nil, row(1, keptViews+3), keptViews + 4, row(4, keptViews+3)},
		{"as many as are kept, and the present one", nil, row(1, keptViews+3), keptViews + 3, row(3, keptViews+3)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := past(test.knows...)
			if unread, lost := h.listed(test.listed, test.present); lost || !slices.Equal(unread, test.unread) {
				t.Errorf("reads %v, lost = %v; want %v", unread, lost, test.unread)
			}
		})
	}
}

func TestHistoryNoticesWhatIsLost(t *testing.T) {
	t.Parallel()
	const kept = keptViews
	for _, test := range []struct {
		name          string
		knows, listed []uint64
		lost          bool
	}{
		{"the newest", []uint64{3, 5}, []uint64{3}, true},
		{"one in the middle", []uint64{3, 4, 5}, []uint64{3, 5}, true},
		{"the oldest of a few", []uint64{3, 5}, []uint64{5, 6}, true},
		{"all", []uint64{3}, nil, true},
		{"one that is surplus", []uint64{1, 2}, row(2, kept+1), false},
		{"one that would be surplus if there were one more", []uint64{1, 2}, row(2, kept), true},
		{"one that is surplus, while an older one is there still", []uint64{1, 3, 4}, append([]uint64{1, 2}, row(4, kept+4)...), false},
		{"one that is newer than the oldest that is kept", []uint64{3}, append([]uint64{2}, row(4, kept+2)...), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := past(test.knows...)
			if _, lost := h.listed(test.listed, 1000); lost != test.lost {
				t.Errorf("lost = %v", lost)
			}
		})
	}
}

func TestHistoryOfAnotherGeneration(t *testing.T) {
	t.Parallel()
	h := past(1, 2, 3)
	h.begin(7)
	if got := h.before(3); len(got) != 2 || got[0].Version != 1 || got[1].Version != 2 {
		t.Errorf("before 3: %v", got)
	}
	h.begin(8)
	if got := h.before(9); len(got) != 0 {
		t.Errorf("a new generation begins with %v", got)
	}
}

// TestHistoryAtRandom lets clients record views and remove what is surplus, at any
// speed, and checks that none takes that for a loss, and that each real loss of
// something that somebody knows is noticed by him.
func TestHistoryAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var recorded []uint64
		version := uint64(0)
		clients := make([]history, 3)
		removing := make([][]uint64, len(clients)) // what each still has to remove
		for i := range clients {
			clients[i].begin(7)
		}
		for range 1500 {
			version += uint64(rnd.IntN(3))
			i := rnd.IntN(len(clients))
			h := &clients[i]
			unread, lost := h.listed(recorded, version)
			if lost {
				t.Fatalf("seed %d: client %d calls the history lost", seed, i)
			}
			for _, v := range unread {
				h.views[v] = fleet.Past{Version: v, Recorded: time.Unix(1, 0)}
			}
			if at, there := slices.BinarySearch(recorded, version); !there {
				if len(removing[i]) == 0 {
					removing[i] = slices.Clone(surplus(recorded))
				}
				recorded = slices.Insert(recorded, at, version)
			}
			if _, known := h.views[version]; !known {
				h.views[version] = fleet.Past{Version: version}
			}
			for range min(len(removing[i]), rnd.IntN(8)) {
				gone := removing[i][0]
				removing[i] = removing[i][1:]
				recorded = slices.DeleteFunc(recorded, func(v uint64) bool { return v == gone })
			}
		}
		if len(recorded) < keptViews || len(recorded) > keptViews+100 {
			t.Fatalf("seed %d: %d views are left", seed, len(recorded))
		}
		h := &clients[0]
		if _, lost := h.listed(recorded, version); lost {
			t.Fatalf("seed %d: lost at the end", seed)
		}
		known := h.before(version + 1)
		victim := known[len(known)-1-rnd.IntN(min(len(known), 50))].Version
		without := slices.DeleteFunc(slices.Clone(recorded), func(v uint64) bool { return v == victim })
		if _, lost := h.listed(without, version); !lost && len(surplus(without)) == 0 {
			t.Fatalf("seed %d: that %d is missing goes unnoticed", seed, victim)
		}
	}
}
