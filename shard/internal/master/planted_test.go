package master

import "testing"

// TestPlantedBugsAreFound breaks a rule at a time, and looks for the first seed of
// TestAnything that shows it.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	const most = 60
	for _, bug := range []struct {
		name  string
		plant planted
	}{
		{"an epoch is used twice", planted{reuseEpoch: true}},
		{"a Joining copy is promoted", planted{promoteJoining: true}},
		{"a copy is in sync before the primary waits for it", planted{joinUnacked: true}},
		{"slots given up under an earlier epoch are handed over", planted{staleGaveUp: true}},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			for s := range uint64(most) {
				if w := chaos(s+1, bug.plant, nil); w.err != nil {
					t.Logf("seed %d: %v", s+1, w.err)
					return
				}
			}
			t.Errorf("not found by %d seeds", most)
		})
	}
}

// TestHeldMapsAreNotTaken shows why no server may take a map in which rows are held.
// Say the row P with the copy C became C alone, and P hasn't heard of it, when the
// master dies. The next master hears P first, and its map has the row as P knows it,
// held until C reports. Had C that map from P now, it would step down, and what it
// answered alone would be lost.
func TestHeldMapsAreNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(1, Config{})
	p, c := w.start("p:1"), w.start("c:1")
	if !w.until(10*second, func() bool { return w.isSettled(2) }) {
		t.Fatal("not settled")
	}
	s := sampled()[0]
	if f := w.byBoot(bootAt(w.m.Map(), w.m.Map().Rows[s].Primary)); f == c {
		p, c = c, p
	}
	// P is cut off, and C gets the slot and answers.
	p.linked, p.cut[c.addr] = false, true
	w.breakConn(p)
	if !w.until(10*second, func() bool { c.write(s, true); return w.answered[s] > 0 && !p.serves(s) }) {
		t.Fatal("nobody answers")
	}
	// The next master hears P, and P and C each other, but not the master C.
	w.killMaster()
	c.linked, p.linked = false, true
	clear(p.cut)
	w.startMaster(nil)
	w.until(2*second, func() bool { p.write(s, true); c.write(s, false); return w.err != nil })
	if held := w.m.Status(w.now).Held; w.err != nil || held == 0 {
		t.Fatalf("%v; %d slots are held", w.err, held)
	}
	if c.data[s] == nil || !c.data[s].primary {
		t.Fatal("C has stepped down before it reported")
	}
	w.takeHeld, w.m.cfg.planted.sendHeld = true, true
	w.breakConn(p) // the map is sent again
	w.until(2*second, func() bool { p.write(s, false); return w.err != nil })
	if w.err == nil {
		t.Error("C took the map from P, and nothing was lost")
	}
	t.Log(w.err)
}
