package replica

import "testing"

func TestWaitingCallIsFoundOnce(t *testing.T) {
	t.Parallel()
	var w waiting
	a, b := new(call), new(call)
	refA, refB := w.add(a, 7), w.add(b, 0)
	if c, number := w.remove(refA); c != a || number != 7 {
		t.Errorf("the first call is %p with number %d, want %p with 7", c, number, a)
	}
	if c, _ := w.remove(refA); c != nil {
		t.Error("a call was found twice")
	}
	c := new(call)
	refC := w.add(c, 8)
	if refC == refA {
		t.Error("two calls had one name")
	}
	if got, _ := w.remove(refA); got != nil {
		t.Error("a name of a call that has ended found the next at its place")
	}
	if got, _ := w.remove(1 << 20); got != nil {
		t.Error("a name that nothing ever had found a call")
	}
	left := map[*call]uint64{}
	for call, number := range w.all() {
		left[call] = number
	}
	if len(left) != 2 || left[c] != 8 {
		t.Errorf("left are %v, want two calls", left)
	}
	if got, _ := w.remove(refB); got != nil {
		t.Error("all left a call behind")
	}
	if len(w.places) != 2 {
		t.Errorf("%d places for two calls at a time", len(w.places))
	}
}
