package client

import (
	"testing"
	"time"
)

// planned is a plan whose time a test moves.
type planned struct {
	*testing.T
	plan
	now time.Time
}

func newPlanned(t *testing.T, hosts int, hedge time.Duration) *planned {
	return &planned{T: t, plan: plan{hosts: hosts, hedge: hedge}, now: time.Unix(1000, 0)}
}

// asks expects these to be the candidates, and asks one of them.
func (p *planned) asks(h int, candidates set) {
	p.Helper()
	if got := p.next(p.now); got != candidates || !got.has(h) {
		p.Fatalf("after %v the candidates are %04b, want %04b and %d among them", p.now.Sub(time.Unix(1000, 0)), got, candidates, h)
	}
	p.ask(h, p.now)
	p.rests()
}

// rests expects that nobody is to be asked now.
func (p *planned) rests() {
	p.Helper()
	if got := p.next(p.now); got != 0 {
		p.Fatalf("after %v the candidates are %04b, want none", p.now.Sub(time.Unix(1000, 0)), got)
	}
}

// sleeps expects that nothing is to be done for d, and lets it pass.
func (p *planned) sleeps(d time.Duration) {
	p.Helper()
	if got := p.wake(p.now.Add(time.Hour)).Sub(p.now); got != d {
		p.Fatalf("it is to wake up after %v, want %v", got, d)
	}
	p.now = p.now.Add(d)
}

// One host more is asked after each silence, twice as long each time.
func TestPlanHedges(t *testing.T) {
	p := newPlanned(t, 3, 30*time.Millisecond)
	p.asks(1, 0b111)
	p.sleeps(30 * time.Millisecond)
	p.asks(0, 0b101)
	p.sleeps(60 * time.Millisecond)
	p.asks(2, 0b100)
	if late := p.silent(p.now, 30*time.Millisecond); late != 0b011 {
		t.Errorf("silent are %04b", late)
	}
	p.sleeps(patience - 90*time.Millisecond)
	if late := p.overdue(p.now); late != 0b010 {
		t.Errorf("overdue are %04b", late)
	}
	// One that is given up makes room for another try, in a round of its own.
	p.fail(1)
	p.rests()
	p.sleeps(minPause)
	p.asks(1, 0b010)
}

// Who fails is replaced at once; when all have failed there is a pause, longer each
// time.
func TestPlanReplacesFailures(t *testing.T) {
	p := newPlanned(t, 2, 30*time.Millisecond)
	p.asks(0, 0b11)
	p.fail(0)
	p.asks(1, 0b10)
	p.fail(1)
	for pause := minPause; pause <= 2*maxPause; pause *= 2 {
		p.rests()
		p.sleeps(min(pause, maxPause))
		p.asks(1, 0b11)
		p.fail(1)
		p.asks(0, 0b01)
		p.fail(0)
	}
}

// While one host is silent, another that failed is asked again.
func TestPlanRoundsBesideTheSilent(t *testing.T) {
	p := newPlanned(t, 2, 30*time.Millisecond)
	p.asks(0, 0b11)
	p.sleeps(30 * time.Millisecond)
	p.asks(1, 0b10)
	p.fail(1)
	p.rests()
	p.sleeps(minPause)
	p.asks(1, 0b10)
}

// Without hedging, or with one host, a silent one is waited for.
func TestPlanWaits(t *testing.T) {
	for _, p := range []*planned{newPlanned(t, 1, time.Millisecond), newPlanned(t, 4, 0)} {
		p.asks(0, all(p.hosts))
		p.sleeps(patience)
	}
}

func TestPlanKeepsDeadline(t *testing.T) {
	p := newPlanned(t, 2, 30*time.Millisecond)
	p.asks(0, 0b11)
	if at := p.now.Add(time.Millisecond); p.wake(at) != at {
		t.Errorf("it wakes up at %v, past the deadline %v", p.wake(at), at)
	}
}
