package simnet

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestFreeze(t *testing.T) {
	t.Parallel()
	orders := make(map[string]bool)
	for seed := range uint64(50) {
		n, a, b := connected(t, Config[int]{Seed: seed})
		b.port.Alarm(n.Now() + 100*time.Millisecond)
		thaw := n.Freeze("b")
		for i := range 20 {
			a.port.SendTo("b", i)
		}
		n.Call("b", func(time.Duration) { b.got = append(b.got, received{m: -1}) })
		n.runFor(10 * time.Second)
		if len(b.got)+len(b.tick)+len(a.ends) > 0 || !n.Frozen("b") {
			t.Fatalf("frozen, b got %v, ticked at %v; a was told %v", b.got, b.tick, a.ends)
		}
		thaw()
		at := n.Now()
		n.Run(at) // no time goes by
		got := slices.DeleteFunc(b.messages(), func(m int) bool { return m < 0 })
		if !slices.Equal(got, count(0, 20)) || len(b.got) != 21 || len(b.tick) != 1 || b.tick[0] != at {
			t.Fatalf("afterwards b got %v, ticked at %v", b.got, b.tick)
		}
		orders[fmt.Sprint(b.got[0].m < 0)] = true
	}
	if len(orders) != 2 {
		t.Error("after a freeze things always happen in one order")
	}
}

func TestKillEndsFreeze(t *testing.T) {
	t.Parallel()
	n, a, b := connected(t, Config[int]{})
	thaw := n.Freeze("b")
	a.port.SendTo("b", 1)
	a.port.Datagram("b", 2)
	n.Call("b", func(time.Duration) { t.Error("called") })
	n.runFor(time.Second)
	n.Kill("b")()
	if n.Frozen("b") {
		t.Error("the new b is frozen")
	}
	n.runFor(time.Second)
	thaw()
	n.runFor(time.Second)
	if len(b.got) > 0 || len(n.at["b"].got) > 0 || len(n.at["b"].ups) != 1 {
		t.Errorf("b got %v and %v; connections %v", b.got, n.at["b"].got, n.at["b"].ups)
	}
}

func TestFaultsOverlap(t *testing.T) {
	t.Parallel()
	n := newBench(Config[int]{}, "a", "b", "c", "d")
	reach := func(from, to Addr) bool { return n.reach(n.node(from).id, n.node(to).id) }
	cut, again := n.Cut("a", "b"), n.Cut("a", "b")
	cut()
	cut()
	if reach("a", "b") || reach("b", "a") {
		t.Error("the second cut ended with the first")
	}
	oneWay := n.CutOneWay("a", "b")
	again()
	if reach("a", "b") || !reach("b", "a") {
		t.Error("one way")
	}
	oneWay()
	split, isolate := n.Split([]Addr{"a", "b"}, []Addr{"c"}), n.Isolate("a")
	if reach("a", "b") || reach("b", "c") || reach("c", "d") || reach("a", "d") || !reach("a", "a") {
		t.Error("split and isolated")
	}
	n.Add("e", func(p *Port[int]) Node[int] { return &recorder{port: p} })
	if !reach("d", "e") || reach("e", "c") {
		t.Error("a node that came later is in the group of those in none")
	}
	isolate()
	if !reach("a", "b") || reach("b", "c") {
		t.Error("split")
	}
	kill, freeze := n.Kill("c"), n.Freeze("d")
	n.Heal()
	if !reach("b", "c") || n.Up("c") || !n.Frozen("d") || len(n.Faults()) != 2 {
		t.Error("healed")
	}
	n.Freeze("d")
	freeze()
	if !n.Frozen("d") {
		t.Error("the second freeze ended with the first")
	}
	n.Thaw("d")
	n.Kill("c")
	kill()
	if n.Up("c") || n.Frozen("d") {
		t.Error("the second kill ended with the first")
	}
	n.Start("c")
	split()
	if !n.Up("c") || len(n.Faults()) != 0 {
		t.Error("started")
	}
}
