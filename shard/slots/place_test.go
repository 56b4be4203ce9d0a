package slots

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// group returns servers numbered as given, whose boots are their numbers.
func group(numbers ...int) []Server {
	var servers []Server
	for _, n := range numbers {
		servers = append(servers, Server{
			Addr: fmt.Sprintf("10.0.0.%d:1026", n), Boot: Boot(n), Number: uint32(n),
		})
	}
	return servers
}

// first returns n servers, numbered from 1.
func first(n int) []Server {
	var numbers []int
	for i := range n {
		numbers = append(numbers, i+1)
	}
	return group(numbers...)
}

// load returns how many primaries and backups each server of g has.
func load(g Goal) (primaries, backups []int) {
	primaries, backups = make([]int, len(g.Servers)), make([]int, len(g.Servers))
	for s := range g.Rows {
		primaries[g.Rows[s].Primary()]++
		for _, b := range g.Rows[s].Backups() {
			backups[b]++
		}
	}
	return primaries, backups
}

func gap(of []int) int { return slices.Max(of) - slices.Min(of) }

// pairs returns how many of each server's slots each other one backs up.
func pairs(g Goal) [][]int {
	p := make([][]int, len(g.Servers))
	for i := range p {
		p[i] = make([]int, len(g.Servers))
	}
	for s := range g.Rows {
		for _, b := range g.Rows[s].Backups() {
			p[g.Rows[s].Primary()][b]++
		}
	}
	return p
}

// unevenness returns the most of one server's slots that another backs up, by how
// many it would be if all others had as many.
func unevenness(g Goal) float64 {
	worst := 0.0
	for i, of := range pairs(g) {
		total := 0
		for _, v := range of {
			total += v
		}
		for j, v := range of {
			if even := float64(total) / float64(len(of)-1); i != j && even > 0 {
				worst = max(worst, float64(v)/even)
			}
		}
	}
	return worst
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkGoal checks what holds of every goal for these servers.
func checkGoal(t failer, g Goal, servers []Server, copies int) {
	t.Helper()
	if !slices.Equal(g.Servers, boots(servers)) || len(g.Rows) != Count {
		t.Fatalf("a goal of %d rows for %v, not for %v", len(g.Rows), g.Servers, boots(servers))
	}
	want := min(copies, len(servers))
	for s := range g.Rows {
		w := g.Rows[s]
		for i, v := range w {
			if i < want && (v < 0 || int(v) >= len(servers)) || i >= want && v != None || i < want && slices.Contains(w[:i], v) {
				t.Fatalf("slot %d: %v with %d copies on %d servers", s, w, copies, len(servers))
			}
		}
	}
	if len(servers) == 0 {
		return
	}
	primaries, backups := load(g)
	if gap(primaries) > 1 || gap(backups) > 1 {
		t.Fatalf("uneven: primaries %v, backups %v", primaries, backups)
	}
}

// atLeast returns how many of has must go for all to be even with total: what is
// above the smaller share, but one more may stay with as many as get one more.
func atLeast(has []int, total int) int {
	share, above, who := total/len(has), 0, 0
	for _, h := range has {
		if h > share {
			above += h - share
			who++
		}
	}
	return above - min(who, total%len(has))
}

// bounds returns the fewest primaries that can move from g to an even goal for
// servers, and the fewest backups, given the primaries of h.
func bounds(g, h Goal, copies int) (primaries, backups int) {
	g = g.on(h.Servers)
	n := len(h.Servers)
	has, hasBackups := make([]int, n), make([]int, n)
	each := min(copies, n) - 1
	vacant := 0
	for s := range g.Rows {
		was, is := g.Rows[s], h.Rows[s]
		if p := was.Primary(); p == None {
			primaries++
		} else {
			has[p]++
		}
		left := slices.Clone(was.Backups())
		if i := slices.Index(left, is.Primary()); i >= 0 {
			if left = slices.Delete(left, i, i+1); was.Primary() != None {
				left = append(left, was.Primary())
			}
		}
		for _, b := range left {
			hasBackups[b]++
		}
		vacant += each - len(left)
	}
	return primaries + atLeast(has, Count), vacant + atLeast(hasBackups, Count*each)
}

// newBackups returns how many backups of h are neither backups nor, where it
// swapped with one, the primary in g: those that Place chose to take from others.
func newBackups(g, h Goal) int {
	g = g.on(h.Servers)
	n := 0
	for s := range h.Rows {
		was, is := g.Rows[s], h.Rows[s]
		swapped := slices.Contains(was.Backups(), is.Primary())
		for _, b := range is.Backups() {
			if !slices.Contains(was.Backups(), b) && (b != was.Primary() || !swapped) {
				n++
			}
		}
	}
	return n
}

func TestMinimalThroughAnyChanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		copies := rapid.IntRange(1, MaxCopies).Draw(t, "copies")
		var g Goal
		var there []int
		next := 1
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			for range rapid.IntRange(0, min(3, len(there))).Draw(t, "leave") {
				i := rapid.IntRange(0, len(there)-1).Draw(t, "who")
				there = slices.Delete(there, i, i+1)
			}
			for range rapid.IntRange(0, 5).Draw(t, "join") {
				there = append(there, next)
				next++
			}
			servers := group(there...)
			h := Place(g, servers, Minimal, copies)
			checkGoal(t, h, servers, copies)
			if len(servers) > 0 {
				primaries, backups := bounds(g, h, copies)
				if moved := g.Diff(h).Primaries; moved != primaries {
					t.Fatalf("%d primaries moved, %d would do", moved, primaries)
				}
				if moved := newBackups(g, h); moved != backups {
					t.Fatalf("%d backups moved, %d would do", moved, backups)
				}
			}
			if again := Place(h, servers, Minimal, copies); h.Diff(again) != (Change{}) {
				t.Fatalf("placed again: %+v", h.Diff(again))
			}
			g = h
		}
	})
}

// TestPairsStaySpread: as servers come and go one by one, nobody comes to back up
// much more of another's slots than anybody else does.
func TestPairsStaySpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		copies := rapid.IntRange(2, MaxCopies).Draw(t, "copies")
		servers := first(3)
		g := Place(Goal{}, servers, Minimal, copies)
		next := 4
		for range rapid.IntRange(1, 9).Draw(t, "changes") {
			if len(servers) > 3 && (len(servers) == 12 || rapid.Bool().Draw(t, "leave")) {
				i := rapid.IntRange(0, len(servers)-1).Draw(t, "who")
				servers = slices.Delete(slices.Clone(servers), i, i+1)
			} else {
				servers = append(slices.Clone(servers), group(next)...)
				next++
			}
			g = Place(g, servers, Minimal, copies)
			if u := unevenness(g); u > 1.3 {
				t.Fatalf("%d servers: %.3f times the even share of a pair", len(servers), u)
			}
		}
	})
}

func TestModuloIsTheFormula(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 2, 3, MaxCopies} {
		for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 29, 100, 1000} {
			g := Place(Goal{}, first(n), Modulo, copies)
			checkGoal(t, g, first(n), copies)
			for s := range g.Rows {
				if int(g.Rows[s].Primary()) != s%n {
					t.Fatalf("%d servers: slot %d at %d", n, s, g.Rows[s].Primary())
				}
			}
			if primaries, backups := load(g); n <= 12 && (gap(primaries) > 0 || gap(backups) > 0) {
				t.Errorf("%d servers, %d copies: primaries %v, backups %v", n, copies, primaries, backups)
			}
			if n > 1 && n <= 12 && copies > 1 && unevenness(g) > 1.005 {
				t.Errorf("%d servers, %d copies: %v times the even share of a pair", n, copies, unevenness(g))
			}
			if other := Place(Place(Goal{}, group(5, 9, 2000), Minimal, 2), first(n), Modulo, copies); g.Diff(other) != (Change{}) {
				t.Errorf("%d servers: it depends on what was: %+v", n, g.Diff(other))
			}
		}
	}
}

func TestModuloPutsSmallKeysWhereTheyAreLookedFor(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 12; n++ {
		servers := first(n)
		g := Place(Goal{}, servers, Modulo, 2).On(servers)
		for key := 1; key <= 100; key++ {
			if at := servers[g.Rows[Of(fmt.Sprint(key))].Primary()].Number; int(at) != key%n+1 {
				t.Errorf("%d servers: key %d at server %d", n, key, at)
			}
		}
	}
}

func TestWhoJoinsTakesTheSameFromEach(t *testing.T) {
	t.Parallel()
	var g Goal
	for n := 1; n <= 12; n++ {
		servers := first(n)
		h := Place(g, servers, Minimal, 2)
		if n == 1 {
			g = h
			continue
		}
		was := g.on(h.Servers)
		from := make([]int, n)
		newcomer := int16(n - 1)
		for s := range h.Rows {
			if a, b := was.Rows[s].Primary(), h.Rows[s].Primary(); a != b {
				if b != newcomer {
					t.Fatalf("%d servers: slot %d went from %d to %d", n, s, a, b)
				}
				from[a]++
			}
			for _, b := range h.Rows[s].Backups() {
				if w := was.Rows[s]; n > 2 && !slices.Contains(w.Backups(), b) && b != newcomer {
					t.Fatalf("%d servers: slot %d has the new backup %d", n, s, b)
				}
			}
		}
		if gap(from[:newcomer]) > 1 || slices.Min(from[:newcomer]) < Count/n/(n-1) {
			t.Errorf("%d servers: the new one got %v", n, from)
		}
		if u := unevenness(h); n > 2 && u > 1.05 {
			t.Errorf("%d servers: %.3f times the even share of a pair", n, u)
		}
		// Any 10n neighbours lie, all in all, 10 with each.
		for at := 0; at+10*n <= Count; at += n {
			has := make([]int, n)
			for s := at; s < at+10*n; s++ {
				has[h.Rows[s].Primary()]++
			}
			if slices.Min(has) < 4 || slices.Max(has) > 16 {
				t.Fatalf("%d servers: slots %d to %d lie with %v", n, at, at+10*n, has)
			}
		}
		g = h
	}
}

func TestWhoLeavesGivesToItsBackups(t *testing.T) {
	t.Parallel()
	for n := 3; n <= 12; n++ {
		servers := first(n)
		g := Place(Goal{}, servers, Minimal, 2)
		rest := servers[1:]
		h := Place(g, rest, Minimal, 2)
		was := g.On(servers)
		for s := range h.Rows {
			a, b := was.Rows[s], h.Rows[s]
			switch {
			case a.Primary() != 0 && b.Primary() != a.Primary()-1:
				t.Fatalf("%d servers: slot %d moved from %d, who stays", n, s, a.Primary())
			case a.Primary() == 0 && b.Primary() != a.Backups()[0]-1:
				t.Fatalf("%d servers: slot %d went from who left to %d, not to its backup %d", n, s, b.Primary()+1, a.Backups()[0])
			}
		}
	}
}

// TestNoFewerBackupsMoveWhereRowsAreTight: where nearly every server is in each
// row, whom a backup can go to is often only found through others.
func TestNoFewerBackupsMoveWhereRowsAreTight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to []Server }{
		{group(2, 3), group(3, 4, 5, 6, 7)},
		{group(5, 7, 9, 10, 11, 13), group(7, 10, 14, 15, 16)},
		{group(1, 2, 3, 4, 5, 6), group(1, 2, 3, 4, 5)},
		{group(5, 7, 8, 9, 10), group(8, 11, 12, 13)},
	} {
		for copies := 2; copies <= MaxCopies; copies++ {
			g := Place(Goal{}, c.from, Minimal, copies)
			h := Place(g, c.to, Minimal, copies)
			checkGoal(t, h, c.to, copies)
			if _, least := bounds(g, h, copies); newBackups(g, h) != least {
				t.Errorf("%d servers, %d copies: %d backups moved, %d would do", len(c.to), copies, newBackups(g, h), least)
			}
		}
	}
}

// TestRolesAreSwapped: a server that has nothing but backups gets primaries
// without anything being sent, of whom it backs up.
func TestRolesAreSwapped(t *testing.T) {
	t.Parallel()
	servers := first(2)
	g := Goal{Servers: boots(servers), Rows: make([]Want, Count)}
	for s := range g.Rows {
		g.Rows[s] = Want{0, 1, None, None}
	}
	h := Place(g, servers, Minimal, 2)
	checkGoal(t, h, servers, 2)
	if d := g.Diff(h); d != (Change{Primaries: Count / 2, Backups: Count / 2}) {
		t.Errorf("%+v", d)
	}
}

// TestPlaceFromAnything: whatever the rows are, what comes out is even.
func TestPlaceFromAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "servers")
		servers := first(n)
		copies := rapid.IntRange(1, MaxCopies).Draw(t, "copies")
		g := Goal{Servers: boots(servers), Rows: make([]Want, Count)}
		rows := rapid.SliceOfN(rapid.Permutation([]int16{0, 1, 2, 3, 4, 5, 6, 7, 8}), 1, 6).Draw(t, "rows")
		for s := range g.Rows {
			g.Rows[s] = nobody
			i := 0
			for _, v := range rows[s*len(rows)/Count] {
				if int(v) < n && i < MaxCopies {
					g.Rows[s][i] = v
					i++
				}
			}
		}
		h := Place(g, servers, Minimal, copies)
		checkGoal(t, h, servers, copies)
		if again := Place(h, servers, Minimal, copies); h.Diff(again) != (Change{}) {
			t.Fatalf("placed again: %+v", h.Diff(again))
		}
		if least, _ := bounds(g, h, MaxCopies); g.Diff(h).Primaries != least {
			t.Fatalf("%d primaries moved, %d would do", g.Diff(h).Primaries, least)
		}
	})
}

func TestGoalOf(t *testing.T) {
	t.Parallel()
	m := Empty(Minimal, 3, 1)
	m.Servers = group(3, 4, 7, 8)
	for s := range m.Rows {
		m.Rows[s].Primary = 1
	}
	r := &m.Rows[5]
	r.Set(0, Filling)
	r.Set(2, InSync)
	r.Set(3, Joining)
	g := GoalOf(m)
	if g.Rows[5] != (Want{1, 2, 3, None}) || g.Rows[6] != (Want{1, None, None, None}) {
		t.Errorf("%v, %v", g.Rows[5], g.Rows[6])
	}
	if g := g.On(group(1, 7, 8)); g.Rows[5] != (Want{None, 1, 2, None}) || g.Rows[6] != nobody {
		t.Errorf("on others: %v, %v", g.Rows[5], g.Rows[6])
	}
	if g := GoalOf(Empty(Modulo, 2, 1)); Place(g, nil, Minimal, 2).Diff(Goal{}) != (Change{}) {
		t.Error("a table without servers wants somebody")
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	row := func(rows ...Want) Goal {
		g := Goal{Servers: boots(first(4)), Rows: make([]Want, Count)}
		for s := range g.Rows {
			g.Rows[s] = nobody
		}
		copy(g.Rows, rows)
		return g
	}
	from := row(Want{0, 1, None, None}, Want{0, 1, 2, None}, Want{0, 1, None, None}, nobody)
	to := row(Want{1, 0, None, None}, Want{0, 2, 3, None}, Want{2, 1, None, None}, Want{3, 2, None, None})
	if d := from.Diff(to); d != (Change{Primaries: 3, Backups: 3, Fills: 4}) {
		t.Errorf("%+v", d)
	}
	if d := to.Diff(to); d != (Change{}) {
		t.Errorf("%+v", d)
	}
}

func BenchmarkPlace(b *testing.B) {
	for _, n := range []int{4, 12, 100} {
		all := first(n + 1)
		g := Place(Goal{}, all[:n], Minimal, 2)
		for _, c := range []struct {
			name    string
			goal    Goal
			servers []Server
		}{
			{"new", Goal{}, all[:n]},
			{"same", g, all[:n]},
			{"join", g, all},
			{"leave", g, all[1:n]},
		} {
			b.Run(fmt.Sprintf("%s/servers=%d", c.name, n), func(b *testing.B) {
				for b.Loop() {
					Place(c.goal, c.servers, Minimal, 2)
				}
			})
		}
	}
}
