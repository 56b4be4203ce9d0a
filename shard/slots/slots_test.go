package slots

import (
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"
)

func TestOf(t *testing.T) {
	t.Parallel()
	hash := func(key string) Slot { return Slot(xxh3.HashString(key) % Count) }
	for _, c := range []struct {
		key  string
		want Slot
	}{
		{"0", 0},
		{"1", 1},
		{"27719", 27719},
		{"27720", 0},
		{"27727", 7},
		{"007", 7},
		{"00000000000000000000000000000000000027721", 1},
		{"-0", 0},
		{"-1", 27719},
		{"-27720", 0},
		{"-27721", 27719},
		{"18446744073709551616", 18446744073709551615%Count + 1},
		{strings.Repeat("0", maxDigits-1) + "5", 5},
		{"-" + strings.Repeat("0", maxDigits-1) + "5", Count - 5},
		{strings.Repeat("0", maxDigits) + "5", hash(strings.Repeat("0", maxDigits) + "5")},
		{"", hash("")},
		{"-", hash("-")},
		{"--1", hash("--1")},
		{"+5", hash("+5")},
		{"5 ", hash("5 ")},
		{" 5", hash(" 5")},
		{"5.0", hash("5.0")},
		{"1e3", hash("1e3")},
		{"0x10", hash("0x10")},
		{"1_000", hash("1_000")},
		{"٣", hash("٣")},
		{"5\x00", hash("5\x00")},
		{"\xff\xfe", hash("\xff\xfe")},
		{"user:17", hash("user:17")},
		{"apple", 22544},
	} {
		if s, b := Of(c.key), Of([]byte(c.key)); s != c.want || b != c.want {
			t.Errorf("%q: slot %d, as bytes %d, not %d", c.key, s, b, c.want)
		}
	}
}

func TestOfIntegersIsModulo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`-?[0-9]{1,250}`).Draw(t, "key")
		n, ok := new(big.Int).SetString(key, 10)
		if !ok {
			t.Fatalf("%q", key)
		}
		// Mod is Euclidean: never negative.
		if want := n.Mod(n, big.NewInt(Count)).Int64(); int64(Of(key)) != want {
			t.Fatalf("%s: slot %d, not %d", key, Of(key), want)
		}
	})
}

func TestOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "key")
		if s := Of(key); s >= Count || s != Of(string(key)) {
			t.Fatalf("%q: slot %d, as a string %d", key, s, Of(string(key)))
		}
	})
}

func TestOfDoesNotAllocate(t *testing.T) {
	key := []byte("a key that is no integer, and longer than a small buffer has room for")
	if n := testing.AllocsPerRun(100, func() { Of(key) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEpoch(t *testing.T) {
	t.Parallel()
	inOrder := []Epoch{{}, {Counter: 1}, {Term: 1}, {Term: 1, Counter: 7}, {Term: 2, Counter: 3}, {Term: 1 << 63}}
	for i, e := range inOrder {
		for j, f := range inOrder {
			if got := e.Before(f); got != (i < j) {
				t.Errorf("%v before %v: %v", e, f, got)
			}
			if got := e.Compare(f); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%v compared with %v: %d", e, f, got)
			}
		}
	}
	if s := (Epoch{Term: 0xabc, Boot: 5, Counter: 16}).String(); s != "abc.10" {
		t.Error(s)
	}
	if s := Boot(0xab).String(); s != "00000000000000ab" {
		t.Error(s)
	}
}

// TestRow compares a row with a map from server to state.
func TestRow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Row{Primary: 3}
		model := make(map[int16]State)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			server := rapid.Int16Range(0, 12).Draw(t, "server")
			if rapid.Bool().Draw(t, "set") {
				s := State(rapid.IntRange(0, 2).Draw(t, "state"))
				if _, ok := model[server]; ok || len(model) < maxBackups {
					model[server] = s
				}
				r.Set(server, s)
			} else {
				delete(model, server)
				r.Remove(server)
			}
			if len(r.Copies()) != len(model) || r.Full() != (len(model) == maxBackups) {
				t.Fatalf("%v, not %v", r.Copies(), model)
			}
			for v := range int16(13) {
				s, ok := r.Copy(v)
				if want, there := model[v]; ok != there || s != want {
					t.Fatalf("server %d: %v %v, not %v", v, s, ok, model)
				}
			}
		}
		for v := range model {
			r.Remove(v)
		}
		if r != (Row{Primary: 3}) {
			t.Fatalf("emptied, it is %v", r)
		}
	})
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	m, same := settled(3, 2), settled(3, 2)
	c := m.Clone()
	if !reflect.DeepEqual(c, m) {
		t.Fatal("the clone is another map")
	}
	c.Servers[0].Dead = true
	c.Rows[9].Primary = None
	c.Rows[10].Set(1, Filling)
	c.Epoch.Counter++
	if !reflect.DeepEqual(m, same) {
		t.Error("a change of the clone changed the map")
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	m := settled(3, 2)
	for i := range m.Servers {
		if at := m.Index(m.Servers[i].Boot); int(at) != i {
			t.Errorf("server %d is at %d", i, at)
		}
	}
	if at := m.Index(12345); at != None {
		t.Errorf("an unknown server is at %d", at)
	}
}

func TestPlacementNames(t *testing.T) {
	t.Parallel()
	for _, p := range []Placement{Minimal, Modulo} {
		if q, err := ParsePlacement(p.String()); q != p || err != nil {
			t.Errorf("%v reads as %v, %v", p, q, err)
		}
	}
	if _, err := ParsePlacement("random"); err == nil || !strings.Contains(err.Error(), "minimal or modulo") {
		t.Error(err)
	}
	if s := Placement(9).String(); s != "Placement(9)" {
		t.Error(s)
	}
}
