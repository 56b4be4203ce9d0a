package slots

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// settled returns the map of n servers on which all has moved.
func settled(n, copies int) *Map {
	m := Empty(Minimal, copies, 1)
	m.Epoch = Epoch{Term: 1_760_000_000_000_000_000, Boot: 0xfeedfacecafebeef, Counter: 321}
	m.Servers = first(n)
	for i := range m.Servers {
		m.Servers[i].Boot = Boot(i+1) * 0x9e3779b97f4a7c15
	}
	for s, w := range Place(Goal{}, m.Servers, Minimal, copies).Rows {
		m.Rows[s].Primary = w.Primary()
		for _, b := range w.Backups() {
			m.Rows[s].Set(b, InSync)
		}
	}
	return m
}

// anyMap draws a map that passes Check.
func anyMap(t *rapid.T) *Map {
	copies := rapid.IntRange(1, MaxCopies).Draw(t, "copies")
	m := Empty(Placement(rapid.IntRange(0, 1).Draw(t, "placement")), copies, rapid.IntRange(1, copies).Draw(t, "min"))
	epoch := func(term uint64) Epoch {
		return Epoch{
			Term: rapid.Uint64Max(term).Draw(t, "term"), Boot: Boot(rapid.Uint64().Draw(t, "boot")),
			Counter: rapid.Uint64().Draw(t, "counter"),
		}
	}
	m.Epoch = epoch(math.MaxUint64 - 1)
	m.Epoch.Term++
	n := rapid.IntRange(0, 40).Draw(t, "servers")
	if n > 0 {
		m.Servers = make([]Server, n)
	}
	number := rapid.Uint32Max(1000).Draw(t, "number")
	for i := range m.Servers {
		m.Servers[i] = Server{
			Addr: rapid.StringN(1, 40, MaxAddr).Draw(t, "addr"), Boot: Boot(i+1) << rapid.IntRange(0, 50).Draw(t, "shift"),
			Number: number, Dead: rapid.Bool().Draw(t, "dead"), Leaving: rapid.Bool().Draw(t, "leaving"),
		}
		for m.Index(m.Servers[i].Boot) != int16(i) {
			m.Servers[i].Boot++
		}
		if rapid.Bool().Draw(t, "deposed") {
			m.Servers[i].Deposed = epoch(m.Epoch.Term - 1)
		}
		number += 1 + rapid.Uint32Max(300).Draw(t, "step")
	}
	if n == 0 {
		return m
	}
	for range rapid.IntRange(0, 3).Draw(t, "held") {
		m.Held = append(m.Held, epoch(m.Epoch.Term-1))
	}
	var rows []Row
	for range rapid.IntRange(1, 30).Draw(t, "rows") {
		r := Row{Primary: rapid.Int16Range(0, int16(n-1)).Draw(t, "primary"), Fresh: rapid.Bool().Draw(t, "fresh")}
		r.Held = rapid.Uint16Max(uint16(len(m.Held))).Draw(t, "held")
		for range rapid.IntRange(0, maxBackups).Draw(t, "backups") {
			if c := rapid.Int16Range(0, int16(n-1)).Draw(t, "copy"); c != r.Primary {
				r.Set(c, State(rapid.IntRange(0, 2).Draw(t, "state")))
			}
		}
		rows = append(rows, r)
	}
	x := rapid.Uint32().Draw(t, "which")
	many := rapid.Bool().Draw(t, "many")
	for s := range m.Rows {
		x = x*1664525 + 1013904223
		m.Rows[s] = rows[int(x>>8)%len(rows)]
		if many {
			m.Rows[s].Primary = int16(x>>16) & 0x7fff % int16(n)
			m.Rows[s].Remove(m.Rows[s].Primary)
		}
	}
	return m
}

func TestEncodingRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := anyMap(t)
		data, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var read Map
		if err := read.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m, &read) {
			t.Fatal("it reads as another map")
		}
	})
}

func TestEncodingIsSmall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ servers, copies, most int }{{1, 1, 28_000}, {12, 2, 30_000}, {12, 3, 60_000}, {100, 2, 100_000}} {
		m := settled(c.servers, c.copies)
		data, err := m.MarshalBinary()
		if err != nil || len(data) > c.most {
			t.Errorf("%d servers, %d copies: %d bytes, %v", c.servers, c.copies, len(data), err)
		}
	}
	m := Empty(Modulo, 2, 1)
	m.Epoch.Counter = 1
	if data, err := m.AppendBinary([]byte("before")); err != nil || !bytes.HasPrefix(data, []byte("before\x01")) {
		t.Errorf("%q, %v", data[:10], err)
	}
}

func TestEncodingFullMap(t *testing.T) {
	t.Parallel()
	m := settled(MaxServers, MaxCopies)
	for i := range m.Servers {
		m.Servers[i].Addr = strings.Repeat("a", MaxAddr)
		m.Servers[i].Deposed = m.Epoch
	}
	data, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read Map
	if err := read.UnmarshalBinary(data); err != nil || !reflect.DeepEqual(m, &read) {
		t.Fatal("it reads as another map: ", err)
	}
}

func TestEncodingRefuses(t *testing.T) {
	t.Parallel()
	m := settled(3, 2)
	good, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	was := Map{Epoch: Epoch{Counter: 9}}
	refuse := func(what, why string, data []byte) {
		t.Helper()
		m := was
		if err := m.UnmarshalBinary(data); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, not %q", what, err, why)
		}
		if !reflect.DeepEqual(m, was) {
			t.Errorf("%s: the map was changed", what)
		}
	}
	with := func(at int, b byte) []byte {
		data := bytes.Clone(good)
		data[at] = b
		return data
	}
	const term, epoch = 9, 1 + 9 + 8 + 2 // bytes of the term, and up to the placement
	refuse("nothing", "ends too early", nil)
	refuse("a byte more", "1 bytes too many", append(bytes.Clone(good), 0))
	refuse("another version", "its version is 2", with(0, 2))
	refuse("a long varint", "shortest form", append(append([]byte{1, 0x80, 0}, good[1+term:]...), 0))
	refuse("another placement", "unknown placement 7", with(epoch, 7))
	refuse("no copies", "0 copies", with(epoch+1, 0))
	refuse("many copies", "5 copies", with(epoch+1, 5))
	refuse("no least copies", "at least 0", with(epoch+2, 0))
	refuse("more least copies", "at least 3", with(epoch+2, 3))
	refuse("many servers", "servers: 16381 is more than", append(bytes.Clone(good[:epoch+3]), 0xfd, 0x7f))
	refuse("unknown flags", "unknown flags 0x8", with(epoch+4, 8))
	refuse("deposed in epoch zero", "epoch zero", append(append(bytes.Clone(good[:epoch+4]), flagDeposed, 1, 'a', 1, 0, 0, 0, 0, 0, 0, 0, 1), make([]byte, 10)...))
	refuse("a row that isn't there", "row 200 of 6", with(len(good)-1, 200))
	refuse("rows out of order", "slot 0 has row 3 of 6", with(len(good)-Count, 3))
	for n := range good[:len(good)-Count+1] {
		refuse("cut off", "ends too early", good[:n])
	}
}

// FuzzUnmarshalBinary: what is read passes Check, and is written as it was. The
// indices are given as a pattern to repeat, so that what comes before them gets
// most of the work.
func FuzzUnmarshalBinary(f *testing.F) {
	for _, period := range []int{1, 6, 24} {
		m := settled(period/2+1, 2)
		m.Servers[0].Dead, m.Servers[0].Deposed = true, m.Epoch
		m.Rows[0].Fresh = true
		for s := range m.Rows {
			m.Rows[s] = m.Rows[s%period]
		}
		data, err := m.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		head := data[:len(data)-Count]
		f.Add(head, data[len(head):][:period])
		f.Add(head[:len(head)-1], []byte{})
	}
	f.Fuzz(func(t *testing.T, head, pattern []byte) {
		data := head
		if len(pattern) > 0 {
			index := bytes.Repeat(pattern, Count/len(pattern)+1)[:Count]
			data = append(bytes.Clone(head), index...)
		}
		var m Map
		if m.UnmarshalBinary(data) != nil {
			return
		}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		again, err := m.MarshalBinary()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v: it was read from other bytes", err)
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if err := settled(5, 3).Check(); err != nil {
		t.Error(err)
	}
	row := func(change func(r *Row)) func(m *Map) {
		return func(m *Map) { change(&m.Rows[77]) }
	}
	for _, c := range []struct {
		why    string
		change func(m *Map)
	}{
		{"epoch zero", func(m *Map) { m.Epoch = Epoch{} }},
		{"unknown placement 2", func(m *Map) { m.Placement = 2 }},
		{"0 copies", func(m *Map) { m.Copies = 0 }},
		{"5 copies", func(m *Map) { m.Copies = 5 }},
		{"at least 0 copies", func(m *Map) { m.MinCopies = 0 }},
		{"at least 4 copies", func(m *Map) { m.MinCopies = 4 }},
		{"4097 servers", func(m *Map) { m.Servers = make([]Server, MaxServers+1) }},
		{"an address of 0 bytes", func(m *Map) { m.Servers[1].Addr = "" }},
		{"an address of 256 bytes", func(m *Map) { m.Servers[1].Addr = strings.Repeat("a", 256) }},
		{"boot zero", func(m *Map) { m.Servers[1].Boot = 0 }},
		{"twice", func(m *Map) { m.Servers[1].Boot = m.Servers[4].Boot }},
		{"number 2 after 2", func(m *Map) { m.Servers[2].Number = 2 }},
		{"deposed in the later epoch", func(m *Map) { m.Servers[2].Deposed = Epoch{Term: math.MaxUint64} }},
		{"27719 rows", func(m *Map) { m.Rows = m.Rows[1:] }},
		{"slot 77: no primary, but", row(func(r *Row) { r.Primary = None })},
		{"slot 77: no primary, but", row(func(r *Row) { *r = Row{Primary: None, Fresh: true} })},
		{"slot 77: held in epoch 1 of 0", row(func(r *Row) { r.Held = 1 })},
		{"slot 77: primary -2", row(func(r *Row) { r.Primary = -2 })},
		{"slot 77: primary 5 of 5", row(func(r *Row) { r.Primary = 5 })},
		{"slot 77: a copy on 5 of 5", row(func(r *Row) { r.copies[0].Server = 5 })},
		{"slot 77: a copy on -1 of 5", row(func(r *Row) { r.copies[0].Server = None })},
		{"unknown state 3", row(func(r *Row) { r.copies[0].State = 3 })},
		{"is primary and a copy", row(func(r *Row) { r.copies[1].Server = r.Primary })},
		{"is a copy twice", row(func(r *Row) { r.copies[1] = r.copies[0] })},
	} {
		m := settled(5, 3)
		c.change(m)
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%v, not %q", err, c.why)
		}
		if _, err := m.MarshalBinary(); err == nil {
			t.Errorf("a map with %q was encoded", c.why)
		}
	}
}

func BenchmarkMarshalBinary(b *testing.B) {
	m := settled(12, 2)
	var data []byte
	for b.Loop() {
		data, _ = m.AppendBinary(data[:0])
	}
	b.ReportMetric(float64(len(data)), "bytes")
}

func BenchmarkUnmarshalBinary(b *testing.B) {
	data, err := settled(12, 2).MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var m Map
		if err := m.UnmarshalBinary(data); err != nil {
			b.Fatal(err)
		}
	}
}
