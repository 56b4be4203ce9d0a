package chord

import (
	"errors"
	"math"
	"testing"

	"github.com/torc-dht/torc"
)

// A survey asks each node; one that doesn't answer has its error in its own part.
func TestSurvey(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 64, 192, 255)
	table := newTable(t, TableOptions{}, nodes[0])
	nodes[0].hold(integers(10)...)
	nodes[2].deafens(true)
	s, err := table.Survey(t.Context())
	if err != nil || s.Copies != 2 || s.Placement != "chord, 2^8 places" || len(s.Members) != 3 {
		t.Fatalf("Survey = %+v, %v", s, err)
	}
	shares := map[string]float64{nodes[0].addr(): 65.0 / 256, nodes[1].addr(): 0.5}
	for _, of := range s.Members {
		if of.Addr == nodes[2].addr() {
			if !errors.Is(of.Err, torc.ErrUnavailable) || of.State != torc.Down || of.Entries != 0 {
				t.Errorf("who doesn't answer: %+v, %v", of, of.Err)
			}
			continue
		}
		if of.Err != nil || math.Abs(of.Share-shares[of.Addr]) > 1e-9 || of.Since.IsZero() {
			t.Errorf("who does: %+v, %v", of, of.Err)
		}
		if of.Addr == nodes[0].addr() && (of.Entries != 10 || of.Bytes == 0) {
			t.Errorf("who has something: %+v", of)
		}
	}
	for _, n := range nodes {
		n.deafens(true)
	}
	if _, err := table.Survey(t.Context()); !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("when nobody answers: %v", err)
	}
	_ = table.Close()
	if _, err := table.Survey(t.Context()); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("of a closed table: %v", err)
	}
}

// One node has all there is.
func TestShareOfOne(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 64)
	s, err := newTable(t, TableOptions{}, nodes...).Survey(t.Context())
	if err != nil || len(s.Members) != 1 || s.Members[0].Share != 1 {
		t.Errorf("Survey = %+v, %v", s, err)
	}
}
