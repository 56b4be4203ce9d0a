package memcache

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func FuzzKey(f *testing.F) {
	for _, k := range []string{"", "k", "a b", "\x00", "ä", strings.Repeat("k", 251), strings.Repeat(" ", 187), strings.Repeat(" ", 186), "flush_all\r\n"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		encoded, err := checkKey(key)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatalf("error is %v", err)
			}
			return
		}
		wire := appendKey(nil, key, encoded)
		if len(wire) == 0 || len(wire) > MaxKeyLen || !isPlain(string(wire)) {
			t.Fatalf("%q goes over the wire as %q", key, wire)
		}
		if encoded {
			wire, err = base64.StdEncoding.DecodeString(string(wire))
			if err != nil {
				t.Fatal(err)
			}
		}
		if string(wire) != key {
			t.Fatalf("%q became %q", key, wire)
		}
	})
}

func TestExptime(t *testing.T) {
	t.Parallel()
	at := func(sec int64, nsec int64) func() time.Time {
		return func() time.Time { return time.Unix(sec, nsec) }
	}
	const day = 24 * time.Hour
	for _, test := range []struct {
		ttl  time.Duration
		now  func() time.Time
		want int64
	}{
		{0, nil, 0},
		{1, nil, 1},
		{time.Second, nil, 1},
		{time.Second + 1, nil, 2},
		{-1, nil, -1},
		{-5 * day, nil, -1},
		{30 * day, nil, 30 * 86400},
		{30*day + 1, at(1_700_000_000, 0), 1_700_000_000 + 30*86400 + 1},
		{31 * day, at(1_700_000_000, 0), 1_700_000_000 + 31*86400},
		{31 * day, at(1_700_000_000, 1), 1_700_000_000 + 31*86400 + 1},
		{200 * 365 * day, at(1_700_000_000, 0), math.MaxInt32},
	} {
		if got := exptime(test.ttl, test.now); got != test.want {
			t.Errorf("a TTL of %v is %d, want %d", test.ttl, got, test.want)
		}
	}
}

func TestAppendQuery(t *testing.T) {
	t.Parallel()
	value := []byte("v\r\n")
	for want, q := range map[string]query{
		"mg k v f c t O0000\r\n":                      {op: opGet, key: "k"},
		"mg YSBi v f c t b O0000\r\n":                 {op: opGet, key: "a b", encoded: true},
		"mg k v f c T60 t O0000\r\n":                  {op: opGetAndTouch, key: "k", exp: 60},
		"mg k T0 O0000\r\n":                           {op: opTouch, key: "k"},
		"ms k 3 c O0000\r\nv\r\n\r\n":                 {op: opSet, key: "k", value: value},
		"ms YSBi 0 c T-1 F4294967295 b O0000\r\n\r\n": {op: opSet, key: "a b", encoded: true, exp: -1, flags: math.MaxUint32},
		"mg k v f c t P O0000\r\n":                    {op: opGet, key: "k", redirect: true},
		"md YSBi b P O0000\r\n":                       {op: opDelete, key: "a b", encoded: true, redirect: true},
		"ms k 3 c ME O0000\r\nv\r\n\r\n":              {op: opSet, key: "k", value: value, mode: ModeAdd, cas: 7},
		"ms k 3 c C7 O0000\r\nv\r\n\r\n":              {op: opSet, key: "k", value: value, mode: ModeCAS, cas: 7},
		"ms k 3 c C0 O0000\r\nv\r\n\r\n":              {op: opSet, key: "k", value: value, mode: ModeCAS},
		"md k O0000\r\n":                              {op: opDelete, key: "k"},
		"md k C18446744073709551615 O0000\r\n":        {op: opDelete, key: "k", cas: math.MaxUint64},
		"ma k v D5 O0000\r\n":                         {op: opIncr, key: "k", delta: 5},
		"ma k MD v D9223372036854775808 O0000\r\n":    {op: opIncr, key: "k", delta: math.MinInt64},
		"mn\r\n":                {op: opNoop},
		"flush_all\r\n":         {op: opFlushAll},
		"version\r\n":           {op: opVersion},
		"stats\r\n":             {op: opStats},
		"stats detail dump\r\n": {op: opStats, args: "detail dump"},
	} {
		got := appendQuery([]byte("before"), &q, 0)
		if !bytes.Equal(got, []byte("before"+want)) {
			t.Errorf("%+v is %q, want %q", q, got, want)
		}
		if size := len(q.key) + len(q.value) + maxQueryOverhead; len(want) > size {
			t.Errorf("%q is longer than the %d bytes counted for it", want, size)
		}
	}
}
