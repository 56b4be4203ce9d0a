package node

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

var (
	firstSeed = flag.Uint64("node.seed", 1, "first seed")
	seeds     = flag.Uint64("node.seeds", 20, "how many seeds")
	bug       = flag.String("node.bug", "", "a mistake to make, of Bugs")
)

// TestOneAtATime has one thing after another happen to a ring, at any moment, while
// one client counts keys up: it reads what it wrote.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			oneAtATime(t, seed)
		})
	}
}

func oneAtATime(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 3))
	r := newRig(t, place.Circle([]int{5, 8, 160}[dice.IntN(3)]), 1+dice.IntN(3))
	r.rand = dice
	if *bug != "" {
		reflect.ValueOf(&r.c.Bugs).Elem().FieldByName(*bug).SetBool(true)
	}
	free := dice.Perm(32)
	id := func() (s string) {
		s = strconv.Itoa(free[0])
		if r.c.Circle == 160 {
			s += "00000000000000000000000000000000000000000000"[:dice.IntN(40)]
		}
		free = free[1:]
		return s
	}
	first := r.start(id(), nil)
	for range 1 + dice.IntN(6) {
		r.join(id(), first)
	}
	want := make(map[string]string)
	log := ""
	for i := range 40 {
		if len(r.plan) == 0 && (i == 0 || r.settled()) && len(free) > 0 {
			n := r.nodes[r.boots[dice.IntN(len(r.boots))]]
			what := dice.IntN(5)
			if len(r.boots) < 3 {
				what = 0
			}
			at := time.Duration(dice.IntN(1000)) * time.Millisecond
			log += fmt.Sprintf("%v: %d to %v\n", r.now+at, what, n.Self())
			r.after(at, func() {
				switch what {
				case 0:
					r.start(id(), n)
				case 1:
					n.Leave(r.time())
					r.flush(n)
				case 2:
					n.Fail(r.time())
					r.flush(n)
				case 3:
					r.kill(n)
				case 4:
					r.frozen[n.Self().Boot] = true
					r.after(time.Duration(50+dice.IntN(4000))*time.Millisecond, func() { r.frozen[n.Self().Boot] = false })
				}
			})
		}
		for range 20 {
			key := strconv.Itoa(dice.IntN(16))
			switch dice.IntN(3) {
			case 0:
				r.run(time.Duration(dice.IntN(20)) * time.Millisecond)
			case 1:
				want[key] = fmt.Sprintf("%s-%d", key, r.now)
				r.put(key, want[key])
			case 2:
				if got := r.get(key); got != want[key] {
					t.Fatalf("seed %d at %v: %s is %q, not %q\n%s\n%s", seed, r.now, key, got, want[key], log, r.dump())
				}
			}
		}
	}
	for len(r.plan) > 0 {
		r.step()
	}
	r.whole(want)
}
