package node

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func fillUp(r *rig, n int) map[string]string {
	r.t.Helper()
	want := make(map[string]string)
	for i := range n {
		key := fmt.Sprint(i * 7)
		want[key] = fmt.Sprint("v", i)
		r.put(key, want[key])
	}
	return want
}

// TestJoin: a ring grows under its data.
func TestJoin(t *testing.T) {
	t.Parallel()
	for replicas := range 4 {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 8, replicas)
			first := r.start("1", nil)
			want := fillUp(r, 100)
			for _, id := range []string{"136", "35", "99", "32", "200"} {
				r.join(id, first)
				r.whole(want)
			}
			for key, value := range want {
				if got := r.get(key); got != value {
					t.Fatalf("%s is %q", key, got)
				}
			}
		})
	}
}

// TestGoing: nodes leave, fail and die, one at a time.
func TestGoing(t *testing.T) {
	t.Parallel()
	for replicas := 1; replicas < 4; replicas++ {
		for way, end := range map[string]func(*rig, *Node){
			"leave": func(r *rig, n *Node) { n.Leave(r.time()) },
			"fail":  func(r *rig, n *Node) { n.Fail(r.time()) },
			"kill":  func(r *rig, n *Node) { r.kill(n) },
		} {
			t.Run(fmt.Sprint(way, replicas), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 8, replicas)
				first := r.start("1", nil)
				for _, id := range []string{"136", "35", "99", "32", "200"} {
					r.join(id, first)
				}
				want := fillUp(r, 100)
				r.whole(want)
				for len(r.boots) > 1 {
					n := r.nodes[r.boots[r.rand.IntN(len(r.boots))]]
					end(r, n)
					r.flush(n)
					r.until(10*time.Second, func() bool { return r.nodes[n.Self().Boot] == nil })
					r.whole(want)
				}
			})
		}
	}
}

// TestFrozen: who was frozen answers nothing old, and has its share again.
func TestFrozen(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	first := r.start("1", nil)
	for _, id := range []string{"136", "35", "99", "32", "200"} {
		r.join(id, first)
	}
	want := fillUp(r, 100)
	r.whole(want)
	n := r.whose("35", nil)
	r.frozen[n.Self().Boot] = true
	r.run(3 * time.Second)
	other := r.nodes[r.boots[0]]
	if other == n {
		other = r.nodes[r.boots[1]]
	}
	o := &op{key: "35", value: "new"}
	for _, b := range r.boots {
		if m := r.nodes[b]; m != n && m.own != nil && covers(m.own.claim.Span, r.c.Circle.OfKey("35")) {
			other = m
		}
	}
	r.do(other, o, opID(5))
	want["35"] = "new"
	r.frozen[n.Self().Boot] = false
	g := &op{key: "35"}
	r.do(n, g, opID(0))
	if g.got != "new" {
		t.Fatalf("%q", g.got)
	}
	r.whole(want)
}

// split cuts the nodes in two sets off from each other, and returns what mends it.
func (r *rig) split(in func(*Node) bool) (mend func()) {
	for _, a := range r.boots {
		for _, b := range r.boots {
			if in(r.nodes[a]) != in(r.nodes[b]) {
				r.cut[[2]uint64{a, b}] = true
			}
		}
	}
	return func() {
		for pair := range r.cut {
			if a, b := r.nodes[pair[0]], r.nodes[pair[1]]; a != nil && b != nil {
				a.Up(r.time(), b.Self())
				r.flush(a)
			}
		}
		clear(r.cut)
	}
}

// TestCutInTwo: both sides go on, and when they meet there is one ring again, with the
// newest values.
func TestCutInTwo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 8, 1+int(seed)%3)
			r.rand = rand.New(rand.NewPCG(seed, 1))
			first := r.start("1", nil)
			for _, id := range []string{"136", "35", "99", "32", "200"} {
				r.join(id, first)
			}
			want := fillUp(r, 60)
			r.whole(want)
			side := make(map[*Node]bool)
			for _, b := range r.boots {
				side[r.nodes[b]] = r.rand.IntN(2) == 0
			}
			mend := r.split(func(n *Node) bool { return side[n] })
			r.run(10 * time.Second)
			for i := range 20 {
				// One side first, then the other one: what was written last counts.
				key := fmt.Sprint(i * 7)
				for k, in := range []bool{i%2 == 0, i%2 == 1} {
					r.run(3 * time.Millisecond)
					for _, b := range r.boots {
						n := r.nodes[b]
						if side[n] == in && n.own != nil && covers(n.own.claim.Span, r.c.Circle.OfKey(key)) && n.mayServe() {
							want[key] = fmt.Sprint("side", k, i)
							r.last++
							r.do(n, &op{key: key, value: want[key]}, opID(r.last))
							break
						}
					}
				}
			}
			r.run(50 * time.Second)
			mend()
			r.until(60*time.Second, r.settled)
			r.whole(want)
		})
	}
}

// TestManyMeet: two nodes that were apart have both written more than goes into one
// message.
func TestManyMeet(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	first := r.start("1", nil)
	second := r.join("130", first)
	r.until(10*time.Second, r.settled)
	mend := r.split(func(n *Node) bool { return n == first })
	r.run(10 * time.Second)
	want := make(map[string]string)
	for i := range 150 {
		for k, n := range []*Node{first, second} {
			key := fmt.Sprint(2*i + k)
			want[key] = fmt.Sprint("v", key)
			r.last++
			r.do(n, &op{key: key, value: want[key]}, opID(r.last))
		}
		r.run(2 * time.Millisecond)
	}
	mend()
	r.until(60*time.Second, r.settled)
	r.whole(want)
}
