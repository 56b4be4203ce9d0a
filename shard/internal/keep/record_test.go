package keep

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/torc-dht/torc/shard/slots"
)

// mapOf returns a map of n servers, in which all has moved, and its epoch's counter.
func mapOf(n int, counter uint64) *slots.Map {
	m := slots.Empty(slots.Minimal, 2, 1)
	m.Epoch = slots.Epoch{Term: 1_760_000_000_000_000_000, Boot: 0xfeedfacecafebeef, Counter: counter}
	for i := range n {
		m.Servers = append(m.Servers, slots.Server{
			Addr: "10.0.0." + string(rune('0'+i%10)) + ":7000", Boot: slots.Boot(i+1) * 0x9e3779b97f4a7c15, Number: uint32(i + 1),
		})
	}
	for s, w := range slots.Place(slots.Goal{}, m.Servers, slots.Minimal, 2).Rows {
		m.Rows[s].Primary = w.Primary()
		for _, b := range w.Backups() {
			m.Rows[s].Set(b, slots.InSync)
		}
	}
	return m
}

func mustEncode(t testing.TB, r record) []byte {
	t.Helper()
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRecord(t *testing.T) {
	t.Parallel()
	for _, want := range []record{
		{},
		{writer: 1 << 63, number: 7},
		{writer: 42, number: 1 << 40, last: mapOf(12, 3)},
	} {
		got, err := decode(mustEncode(t, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("record %d of %x comes back as %d of %x, %v", want.number, want.writer, got.number, got.writer, err)
		}
	}
	if _, err := (record{last: new(slots.Map)}).encode(); err == nil {
		t.Error("a map that breaks the rules is written")
	}
}

// However a record is shortened, and whichever bit of it is turned, it is no other
// record.
func TestRecordTorn(t *testing.T) {
	t.Parallel()
	whole := mustEncode(t, record{writer: 42, number: 7, last: mapOf(12, 3)})
	refused := func(data []byte, what string, at int) {
		t.Helper()
		if bytes.Equal(data, whole) {
			return // what is made zero was
		}
		switch _, err := decode(data); {
		case err == nil:
			t.Errorf("%s at %d: it is taken", what, at)
		case !errors.Is(err, errForeign) && !errors.Is(err, errNewer) && !errors.Is(err, errDamaged):
			t.Errorf("%s at %d: %v", what, at, err)
		}
	}
	for n := 0; n < len(whole); n += 1 + n/64 {
		refused(whole[:n], "cut off", n)
		zeros := bytes.Clone(whole)
		clear(zeros[n:])
		refused(zeros, "zeros", n)
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1 << (n % 8)
		refused(flipped, "a bit turned", n)
	}
	refused(append(bytes.Clone(whole), 0), "a byte more", len(whole))
}

// FuzzDecode tries what it is given as it is, and again with a head and a checksum
// that are right. The maps themselves are package slots' to try.
func FuzzDecode(f *testing.F) {
	f.Add(mustEncode(f, record{writer: 42, number: 7}))
	f.Add([]byte(magic))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		try := func(data []byte) {
			r, err := decode(data)
			if err != nil {
				return
			}
			if again := mustEncode(t, r); !bytes.Equal(again, data) {
				t.Errorf("%x is read, and written as %x", data, again)
			}
		}
		try(data)
		if len(data) >= headLen {
			data = bytes.Clone(data)
			copy(data, magic)
			data[len(magic)] = recordFormat
			binary.LittleEndian.PutUint32(data[sumAt:], crc32.Checksum(data[writerAt:], castagnoli))
			try(data)
		}
	})
}
