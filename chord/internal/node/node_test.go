package node

import (
	"fmt"
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
