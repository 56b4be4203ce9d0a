package keep

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc/shard/slots"
)

// leadEnv makes the test binary a master that leads until it is killed.
const leadEnv = "KEEP_TEST_LEAD"

func leadAt(url string) int {
	o, err := ParseURL(url)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	o.Addr, o.Now, o.SessionTimeout = "a:7000", sinceBegan, shortSession
	e, err := NewElection(o)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	r, err := e.Lead(context.Background())
	for n := uint64(1); err == nil; n++ {
		if err = r.Save(context.Background(), mapOf(3, n)); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Println(err)
	return 1
}

func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	leader := exec.Command(os.Args[0])
	leader.Env = append(os.Environ(), leadEnv+"=zk://"+o.Hosts[0]+o.Path)
	out, err := leader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = leader.Process.Kill()
		_ = leader.Wait()
	}()
	said := make(chan uint64, 1) // the last map that it saved
	go func() {
		saved := uint64(0)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, err := fmt.Sscan(lines.Text(), &saved); err != nil {
				t.Error(lines.Text())
			}
		}
		said <- saved
	}()
	conn := rawConn(t, o)
	eventually(t, "the leader's map", func() bool {
		_, stat, err := conn.Get(o.mapPath())
		return err == nil && stat.Version > 2
	})
	b := master(t, o, "b")
	standby := wait(b)
	awaitStanding(t, b, "a:7000")
	if err := leader.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	r := standby.get(t)
	t.Logf("the next one leads %v after a kill, with sessions of %v", time.Since(killed), shortSession)
	saved := <-said
	if got := r.Last().Epoch.Counter; got != saved && got != saved+1 {
		t.Errorf("the last map is %d, and %d was saved", got, saved)
	}
}

// Whoever is cut off knows that its reign is over before another one leads.
func TestLeaderCutOff(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	o.SessionTimeout = shortSession
	l, frail := linked(t, o)
	first := wait(master(t, frail, "a")).get(t)
	mustSave(t, first, mapOf(3, 1))
	b := master(t, o, "b")
	standby := wait(b)
	awaitStanding(t, b, "a:7000")

	l.cut()
	cut := time.Now()
	late := make(chan error, 1)
	go func() { late <- first.Save(context.Background(), mapOf(3, 2)) }()
	expectOver(t, first, errSilent)
	gave := time.Since(cut)
	select {
	case <-standby.won:
		t.Error("another one leads already")
	default:
	}
	if err := <-late; !errors.Is(err, ErrOver) {
		t.Error("saved without ZooKeeper:", err)
	}
	second := standby.get(t)
	t.Logf("cut off: its reign is over after %v, the next one's begins after %v, with sessions of %v", gave, time.Since(cut), shortSession)
	l.heal() // and what was held up arrives
	expectLast(t, second, 1)
	mustSave(t, second, mapOf(3, 2))
	mustSave(t, second, mapOf(3, 3))
}

// A process that was stopped knows by the clock, before anything else has run, that
// it leads no more.
func TestLeaderFrozen(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	var slept atomic.Int64
	o.Now = func() int64 { return sinceBegan() + slept.Load() }
	r := wait(master(t, o, "a")).get(t)
	if !r.Leads() {
		t.Fatal(r.Err())
	}
	slept.Store(int64(longSession))
	if r.Leads() {
		t.Error("it leads on")
	}
	if err := r.Save(t.Context(), mapOf(3, 1)); !errors.Is(err, ErrOver) || !errors.Is(err, errSilent) {
		t.Error(err)
	}
}

// peers returns the reign of one master, and what another one would have that
// believes in its own: it has read what the first one left.
func peers(t *testing.T) (reign *electionReign, rival *electionReign) {
	t.Helper()
	o := sharedZooKeeper(t)
	reign = wait(master(t, o, "a")).get(t).(*electionReign)
	mustSave(t, reign, mapOf(3, 1))
	b := master(t, o, "b")
	wait(b)
	awaitStanding(t, b, "a:7000")
	b.mu.Lock()
	rival = &electionReign{c: b.mu.standing}
	b.mu.Unlock()
	k, err := rival.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rival.version, rival.last = k.version, k.last
	return reign, rival
}

func TestLateSaveOfThePredecessor(t *testing.T) {
	t.Parallel()
	before, after := peers(t)
	if err := after.write(t.Context(), after.last); err != nil { // the mark of a new reign
		t.Fatal(err)
	}
	if err := before.Save(t.Context(), mapOf(3, 2)); !errors.Is(err, ErrOver) || !errors.Is(err, errReplaced) {
		t.Error("the predecessor saves:", err)
	}
	expectOver(t, before, errReplaced)
	k, err := after.read(t.Context())
	if err != nil || k.last.Epoch.Counter != 1 || k.writer != after.c.mark {
		t.Error(k.last.Epoch, err)
	}
}

// Who comes to lead leaves nothing as its predecessor left it.
func TestMark(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	conn := rawConn(t, o)
	e := master(t, o, "a")
	for n := range uint64(3) {
		r := wait(e).get(t)
		data, left, err := conn.Get(o.mapPath())
		if err != nil {
			t.Fatal(err)
		}
		if k, err := decode(data); err != nil || k.writer != r.(*electionReign).c.mark {
			t.Error("the znode is not marked:", err)
		}
		if n == 1 { // and in one reign nothing is saved
			mustSave(t, r, mapOf(3, n))
			_, left, _ = conn.Get(o.mapPath())
		}
		r.Resign()
		r = wait(e).get(t)
		if _, err := conn.Set(o.mapPath(), nil, left.Version); !errors.Is(err, zk.ErrBadVersion) {
			t.Error("what a predecessor had on the way is written:", err)
		}
		r.Resign()
	}
}

func TestSaveOfThePredecessorBeforeTheMark(t *testing.T) {
	t.Parallel()
	before, after := peers(t)
	mustSave(t, before, mapOf(3, 2))
	if err := after.write(t.Context(), after.last); !errors.Is(err, errReplaced) {
		t.Fatal("what was read in vain is written:", err)
	}
	if err := after.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectLast(t, after, 2)
}

// The answer to a write is lost, and the write was done: once.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	l, o := linked(t, sharedZooKeeper(t))
	r := wait(master(t, o, "a")).get(t).(*electionReign)
	for n := range uint64(3) {
		before := r.version
		l.cutAnswers()
		saved := make(chan error, 1)
		go func() { saved <- r.Save(context.Background(), mapOf(3, n+1)) }()
		conn := rawConn(t, ElectionOptions{Hosts: []string{l.target}})
		eventually(t, "the write", func() bool {
			_, stat, err := conn.Get(o.mapPath())
			return err == nil && stat.Version == before+1
		})
		l.snap()
		l.heal()
		if err := <-saved; err != nil {
			t.Fatal(err)
		}
		if r.version != before+1 {
			t.Errorf("it was written %d times", r.version-before)
		}
	}
	if !r.Leads() {
		t.Error(r.Err())
	}
}

// A Save that isn't waited for may be done, or not; the next one is.
func TestSaveAbandoned(t *testing.T) {
	t.Parallel()
	l, o := linked(t, sharedZooKeeper(t))
	e := master(t, o, "a")
	r := wait(e).get(t)
	mustSave(t, r, mapOf(3, 1))
	l.cut()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Save(ctx, mapOf(3, 2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	l.heal()
	mustSave(t, r, mapOf(3, 3))
	r.Resign()
	expectLast(t, wait(e).get(t), 3)
}

// A connection that breaks ends no reign, though the session moves to another one
// each time; and standbys stand again.
func TestConnectionsBreak(t *testing.T) {
	t.Parallel()
	l, o := linked(t, sharedZooKeeper(t))
	a, b := master(t, o, "a"), master(t, o, "b")
	r := wait(a).get(t)
	standby := wait(b)
	awaitStanding(t, b, "a:7000")
	for n := range uint64(10) {
		l.snap()
		mustSave(t, r, mapOf(3, n+1))
	}
	awaitStanding(t, b, "a:7000")
	r.Resign()
	expectLast(t, standby.get(t), 10)
}

func TestZooKeeperFrozen(t *testing.T) {
	t.Parallel()
	z, o := ownZooKeeper(t)
	e := master(t, o, "a")
	r := wait(e).get(t)
	freeze := func() {
		t.Helper()
		if err := z.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	thaw := func() {
		t.Helper()
		if err := z.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	// For a moment: what has to be saved waits.
	freeze()
	saved := make(chan error, 1)
	go func() { saved <- r.Save(context.Background(), mapOf(3, 1)) }()
	time.Sleep(longSession / 10)
	if !r.Leads() {
		t.Error("a moment ends the reign:", r.Err())
	}
	thaw()
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	// For long.
	freeze()
	expectOver(t, r, errSilent)
	if _, err := e.Leader(); err == nil {
		t.Error("it knows who leads")
	}
	again := wait(e)
	thaw()
	expectLast(t, again.get(t), 1)
}

func TestZooKeeperRestarts(t *testing.T) {
	t.Parallel()
	z, o := ownZooKeeper(t)
	e := master(t, o, "a")
	r := wait(e).get(t)
	mustSave(t, r, mapOf(3, 1))
	if err := z.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := z.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It depends on how long the restart takes whether the reign goes on.
	if err := r.Save(t.Context(), mapOf(3, 2)); err != nil {
		if !errors.Is(err, ErrOver) {
			t.Fatal(err)
		}
		r = wait(e).get(t)
		expectLast(t, r, 1)
		mustSave(t, r, mapOf(3, 2))
	}
	// Its data is gone.
	if err := z.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := z.WipeData(); err != nil {
		t.Fatal(err)
	}
	if err := z.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.Over():
	case <-time.After(20 * time.Second):
		t.Fatal("the reign goes on")
	}
	expectLast(t, wait(e).get(t), 0)
}

func TestClose(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	a, b := master(t, o, "a"), master(t, o, "b")
	r := wait(a).get(t)
	standby := wait(b)
	awaitStanding(t, b, "a:7000")
	if _, err := a.Lead(t.Context()); err == nil {
		t.Error("it leads twice")
	}
	b.Close()
	<-standby.won
	if !errors.Is(standby.err, errClosed) {
		t.Error(standby.err)
	}
	a.Close()
	expectOver(t, r, ErrResigned)
	if _, err := a.Lead(t.Context()); !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

// Whatever the links do: when one comes to lead no other believes that it leads, and it
// has the last map that was saved; and each map that is saved follows from that.
func TestChain(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	o.SessionTimeout = 500 * time.Millisecond
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	one := mapOf(1, 0)
	numbered := func(n uint64) *slots.Map {
		m := *one
		m.Epoch.Counter = n
		return &m
	}
	var chain struct {
		sync.Mutex
		last   uint64
		reigns []Reign
	}
	ctx, stop := context.WithCancel(t.Context())
	var masters sync.WaitGroup
	var links []*link
	for i := range 3 {
		l, frail := linked(t, o)
		links = append(links, l)
		e := master(t, frail, string(rune('a'+i)))
		masters.Go(func() {
			for ctx.Err() == nil {
				r, err := e.Lead(ctx)
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				n := uint64(0)
				if r.Last() != nil {
					n = r.Last().Epoch.Counter
				}
				chain.Lock()
				if n < chain.last {
					t.Errorf("a reign begins with map %d after %d", n, chain.last)
				}
				for _, before := range chain.reigns {
					if before.Leads() {
						t.Error("two lead at a time")
					}
				}
				chain.reigns = append(chain.reigns, r)
				chain.Unlock()
				for r.Leads() {
					if n++; r.Save(ctx, numbered(n)) != nil {
						break
					}
					chain.Lock()
					if n <= chain.last {
						t.Errorf("map %d is saved after %d", n, chain.last)
					}
					chain.last = n
					chain.Unlock()
				}
				r.Resign()
			}
		})
	}
	for range 20 {
		l := links[chance.IntN(len(links))]
		switch chance.IntN(3) {
		case 0:
			l.snap()
		case 1:
			l.cut()
		case 2:
			l.cutAnswers()
		}
		time.Sleep(time.Duration(chance.IntN(600)) * time.Millisecond)
		l.heal()
	}
	stop()
	masters.Wait()
	t.Logf("%d maps in %d reigns", chain.last, len(chain.reigns))
	if chain.last == 0 {
		t.Error("nothing was saved")
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for by := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(by) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
