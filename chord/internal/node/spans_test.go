package node

import (
	"testing"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// TestSplit compares with every place of a small circle looked at by itself.
func TestSplit(t *testing.T) {
	c, err := place.New(3)
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) place.Place { var p place.Place; p[len(p)-1] = byte(i & 7); return p }
	count := func(all []msg.Span, p place.Place) (n int) {
		for _, s := range all {
			if covers(s, p) {
				n++
			}
		}
		return n
	}
	for x := range 8 * 8 * 8 * 8 {
		a := msg.Span{From: at(x), To: at(x >> 3)}
		b := msg.Span{From: at(x >> 6), To: at(x >> 9)}
		in, out := split(c, a, b)
		for i := range 8 {
			wantIn, wantOut := 0, 0
			if covers(a, at(i)) {
				if covers(b, at(i)) {
					wantIn = 1
				} else {
					wantOut = 1
				}
			}
			if count(in, at(i)) != wantIn || count(out, at(i)) != wantOut {
				t.Fatalf("%v split by %v: %v and %v, at %d", a, b, in, out, i)
			}
		}
		if within(c, a, b) != (len(out) == 0) {
			t.Fatal(a, b)
		}
	}
}
