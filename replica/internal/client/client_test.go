package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/standin"
)

// bench is a client of servers that stand in for a table, with words for what is
// expected of it.
type bench struct {
	*testing.T
	*standin.Table
	*Client
}

// Hedges in tests are long enough for a busy machine not to hedge for no reason,
// where that matters, and otherwise short.
const (
	testHedge = 50 * time.Millisecond
	never     = time.Hour
	timeout   = 20 * time.Second
)

func newBench(t *testing.T, servers int, hedge time.Duration) *bench {
	t.Helper()
	table := standin.New(t, servers)
	c := New(Config{Hosts: table.Addrs(), Hedge: hedge, HedgeWrite: hedge, Idle: 8})
	t.Cleanup(c.Close)
	return &bench{T: t, Table: table, Client: c}
}

func get(key string) Request { return Request{Op: msg.Op{Kind: msg.Get, Key: key}} }

func put(key, value string) Request {
	return Request{Op: msg.Op{Kind: msg.Put, Key: key, Value: []byte(value)}}
}

func (b *bench) do(r Request) Answer {
	b.Helper()
	a, err := b.Do(b.Context(), r, timeout)
	if err != nil {
		b.Fatalf("%v %q: %v, %v", r.Op.Kind, r.Op.Key, err, errors.Unwrap(err))
	}
	return a
}

func (b *bench) put(key, value string) {
	b.Helper()
	if a := b.do(put(key, value)); a.Code != 200 {
		b.Fatalf("put %q: %d %s", key, a.Code, a.Body)
	}
}

func (b *bench) holds(key, value string) {
	b.Helper()
	if a := b.do(get(key)); a.Code != 200 || string(a.Body) != value {
		b.Fatalf("get %q: %d %q, want %q", key, a.Code, a.Body, value)
	}
}

// written expects key to have been written once.
func (b *bench) written(key string) {
	b.Helper()
	if n := b.Table.Writes(key); n != 1 {
		b.Fatalf("%q was written %d times", key, n)
	}
}

// await waits until ok.
func (b *bench) await(what string, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(timeout); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s: not after %v", what, timeout)
		}
	}
}

func (b *bench) failing(h int) bool { return b.hosts[h].failing.Load() }

func TestWritesGoToTheLeader(t *testing.T) {
	t.Parallel()
	b := newBench(t, 3, never)
	b.Lead(2)
	b.put("first", "1") // whoever it went to said who leads
	for i := range 10 {
		b.put(fmt.Sprint(i), "v")
	}
	if n := len(b.Servers[2].Writes()); n < 10 {
		t.Errorf("%d of 10 writes went to the leader", n)
	}
	// Where nobody is known to lead, they stay where they were answered.
	b.Lead(-1)
	for i := range 10 {
		b.put(fmt.Sprint(i), "w")
	}
	if n := len(b.Servers[2].Writes()); n < 20 {
		t.Errorf("%d of 20 writes went to who answered last", n)
	}
}

func TestReadsAreSpread(t *testing.T) {
	t.Parallel()
	b := newBench(t, 3, never)
	b.put("k", "v")
	for range 300 {
		b.holds("k", "v")
	}
	for _, s := range b.Servers {
		if n := s.Asked(); n < 50 {
			t.Errorf("%s was asked %d times of 300", s.Addr, n)
		}
	}
}

// A host that refuses is passed over at once, and asked again when it is back.
func TestRefusedGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, 3, never)
	b.put("k", "v")
	b.Servers[0].Kill()
	b.Servers[1].Kill()
	for i := range 20 {
		b.holds("k", "v")
		b.put(fmt.Sprint(i), "v")
		b.written(fmt.Sprint(i))
	}
	if !b.failing(0) || b.failing(2) {
		t.Errorf("failing: %v, %v", b.failing(0), b.failing(2))
	}
	b.Servers[0].Start()
	b.await("it is taken for failing", func() bool { return !b.failing(0) })
	b.Servers[2].Kill()
	b.holds("k", "v")
}

// A server that dies with requests in its hands: each is asked of another one, and
// a write is carried out once.
func TestServerKilledBetweenRequestAndAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, never)
	b.put("warm", "v")
	came := make(chan struct{}, 16)
	release := make(chan struct{})
	b.Servers[0].Before(func(*msg.Op) { came <- struct{}{}; <-release })
	var wg sync.WaitGroup
	for i := range cap(came) {
		wg.Go(func() { b.do(put(fmt.Sprint(i), "v")) })
	}
	for range cap(came) {
		<-came
	}
	killed := make(chan struct{})
	go func() { b.Servers[0].Kill(); close(killed) }() // it waits for who is carried out
	wg.Wait()
	close(release)
	<-killed
	for i := range cap(came) {
		b.holds(fmt.Sprint(i), "v")
		b.written(fmt.Sprint(i)) // although the dead one carried it out, too, late
	}
}

// The answer is lost after the write was carried out.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 2} {
		b := newBench(t, servers, never)
		b.Lead(0)
		b.put("k", "old")
		b.Servers[0].LoseAnswers(1)
		r := put("k", "new")
		r.Swap = true
		if a := b.do(r); string(a.Body) != "old" {
			t.Errorf("the swap that was sent twice found %q", a.Body)
		}
		if n := b.Table.Writes("k"); n != 2 {
			t.Errorf("%d writes of 2", n)
		}
		b.Servers[0].LoseAnswers(1)
		absent := put("new", "v")
		absent.Op.Cond = msg.IfAbsent
		if a := b.do(absent); a.Code != 200 {
			t.Errorf("the condition that was sent twice found %d %s", a.Code, a.Body)
		}
	}
}

// A frozen server is silent; another one answers after the hedge, and the frozen one
// is left alone until it goes on.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, testHedge)
	b.Lead(0)
	b.put("k", "v")
	b.Servers[0].Freeze()
	start := time.Now()
	b.put("new", "v")
	if took := time.Since(start); took < testHedge {
		t.Errorf("the write took %v", took)
	}
	b.written("new")
	b.await("it is not taken for failing", func() bool { return b.failing(0) })
	asked := b.Servers[0].Asked()
	for range 100 {
		b.holds("k", "v")
	}
	if n := b.Servers[0].Asked(); n != asked {
		t.Errorf("a frozen server took %d requests", n-asked)
	}
	b.Servers[0].Thaw()
	b.await("it is taken for failing", func() bool { return !b.failing(0) })
	b.holds("new", "v")
	b.written("new")
}

// A host that takes connections and is silent for ever: there was one request too
// many for it, and the call ends in time all the same.
func TestHalfDeadHost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	table := standin.New(t, 1)
	c := New(Config{Hosts: []string{l.Addr().String(), table.Addrs()[0]}, Hedge: testHedge, HedgeWrite: testHedge, Idle: 8})
	defer c.Close()
	b := &bench{T: t, Table: table, Client: c}
	c.Prefer(0)
	b.put("k", "v")
	b.holds("k", "v")
	b.written("k")

	table.Servers[0].Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 10*testHedge)
	defer cancel()
	_, err = c.Do(ctx, put("k", "w"), timeout)
	var f *Failure
	if !errors.As(err, &f) || !errors.Is(err, context.DeadlineExceeded) || !f.Sent || f.Host == "" || f.Last == nil {
		t.Errorf("nobody answers: %#v", err)
	}
}

// A server that can't serve is passed over; while none can, they are asked again.
func TestUnableThenOK(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, never)
	b.Lead(0)
	b.put("k", "v")
	b.Servers[0].Refuse(true)
	b.put("k", "w")
	b.holds("k", "w")
	b.Servers[1].Refuse(true)
	done := make(chan Answer)
	go func() {
		a, _ := b.Do(t.Context(), put("late", "v"), timeout)
		done <- a
	}()
	asked := b.Servers[1].Asked()
	b.await("nobody is asked again", func() bool { return b.Servers[1].Asked() > asked+2 })
	b.Servers[0].Refuse(false)
	if a := <-done; a.Code != 200 {
		t.Errorf("answered %+v", a)
	}
	b.written("late")

	// What is refused to the end was not sent in vain: nothing happened.
	b.Servers[0].Refuse(true)
	var f *Failure
	for f == nil || f.Sent { // the time was up while it was asked once more
		_, err := b.Do(t.Context(), put("never", "v"), 100*time.Millisecond)
		if !errors.As(err, &f) || !strings.Contains(f.Error(), "too few servers can be reached") || f.Since.IsZero() {
			t.Fatalf("nobody can serve: %#v", err)
		}
	}
	if b.Table.Writes("never") != 0 {
		t.Error("it was written")
	}
}

// Servers hear up to where all answers are there, and no further than the oldest
// write under way.
func TestAckedFollows(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, never)
	for i := range 5 {
		b.put(fmt.Sprint(i), "v")
	}
	came, release := make(chan struct{}), make(chan struct{})
	b.Servers[0].Before(func(op *msg.Op) {
		if op.Key == "slow" {
			close(came)
			<-release
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() { b.do(put("slow", "v")) })
	<-came
	b.put("6", "v")
	b.put("7", "v")
	close(release)
	wg.Wait()
	b.put("8", "v")
	ids := b.Servers[0].Writes()
	for i, acked := range []uint64{0, 1, 2, 3, 4, 5, 5, 5, 8} {
		if id := ids[i]; id.Seq != uint64(i+1) || id.Acked != acked || id.Client == 0 || id.Client != ids[0].Client {
			t.Errorf("write %d is %+v, want acked %d", i+1, id, acked)
		}
	}
}

// A call ends when its context does, whatever the server does, and what it gave up is
// nobody else's answer.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, never)
	b.put("k", "v")
	b.Servers[0].Freeze()
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		_, err := b.Do(ctx, get("k"), timeout)
		var f *Failure
		if !errors.As(err, &f) || !errors.Is(err, context.Canceled) || f.Sent || f.Host != b.Servers[0].Addr {
			t.Errorf("cancelled: %#v", err)
		}
	}
	var f *Failure
	b.await("a write is not sent", func() bool { // it may take longer to connect
		_, err := b.Do(t.Context(), put("k", strings.Repeat("x", 1<<20)), 20*time.Millisecond)
		if !errors.As(err, &f) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("timed out: %#v", err)
		}
		return f.Sent
	})
	b.Servers[0].Thaw()
	b.put("other", "w")
	b.holds("other", "w")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Do(ctx, put("done", "v"), timeout); !errors.As(err, &f) || f.Sent || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %#v", err)
	}
}

// What its caller does with a value after the call is over changes nothing of what
// is still being sent.
func TestValueIsTheCallersAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, time.Millisecond)
	want := bytes.Repeat([]byte("a"), 1<<20)
	for i := range 20 {
		value := bytes.Clone(want)
		key := fmt.Sprint(i)
		if a := b.do(Request{Op: msg.Op{Kind: msg.Put, Key: key, Value: value}}); a.Code != 200 {
			t.Fatalf("put: %+v", a)
		}
		clear(value)
		if a := b.do(get(key)); !bytes.Equal(a.Body, want) {
			t.Fatalf("%q holds something else", key)
		}
		b.written(key)
	}
}

// Close ends what is under way, at whatever it waits.
func TestClose(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, testHedge)
	b.put("k", "v")
	b.Servers[0].Freeze()
	b.Servers[1].Refuse(true)
	asked := b.Servers[1].Asked()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := b.Do(t.Context(), put("k", "w"), timeout)
			var f *Failure
			if !errors.As(err, &f) || f.Ended != torc.ErrClosed {
				t.Errorf("closed: %#v", err)
			}
		})
	}
	b.await("nobody is asked", func() bool { return b.Servers[1].Asked() > asked })
	b.Close()
	b.Close()
	wg.Wait()
	if _, err := b.Do(t.Context(), get("k"), timeout); err == nil {
		t.Error("a closed client reads")
	}
}

// A value that is too large is refused once, though the server stops reading it.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, never)
	for _, n := range []int{1<<20 + 1, 6 << 20} {
		if a := b.do(put("k", strings.Repeat("x", n))); a.Code != 413 {
			t.Errorf("%d bytes: %d %s", n, a.Code, a.Body)
		}
	}
	b.put("k", "v")
}

func TestDegradedIsTheLastAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, never)
	for _, epoch := range []uint64{0, 7, 8, 0} {
		b.Degrade(epoch)
		for _, r := range []Request{put("k", "v"), get("k"), get("none")} {
			b.do(r)
			if got := b.Client.Degraded(); got != epoch {
				t.Errorf("the label is %d, want %d", got, epoch)
			}
		}
	}
	b.Degrade(9)
	b.do(get("k"))
	b.do(put("k", strings.Repeat("x", 1<<20+1)))
	if got := b.Client.Degraded(); got != 9 {
		t.Errorf("a refusal that says nothing of the table makes the label %d", got)
	}
}

// A server that speaks for a part of the table is left alone while others speak for
// the whole, and is better than nobody.
func TestLabelledHostIsTheLast(t *testing.T) {
	t.Parallel()
	b := newBench(t, 3, never)
	b.put("k", "v")
	b.Servers[0].Label(7)
	b.await("it is not left alone", func() bool { b.holds("k", "v"); return b.failing(0) })
	for range 50 {
		b.holds("k", "v")
		b.put("k", "v")
		if b.Client.Degraded() != 0 {
			t.Fatal("an answer bears the label")
		}
	}
	b.Servers[1].Kill()
	b.Servers[2].Kill()
	b.await("nobody else is there", func() bool { b.holds("k", "v"); return b.Client.Degraded() == 7 && !b.failing(0) })
	b.Servers[1].Start()
	b.await("others are there again", func() bool { b.holds("k", "v"); return b.failing(0) && !b.failing(1) })
	b.Servers[0].Label(0)
	b.await("it is left alone for ever", func() bool { return !b.failing(0) })

	// Where all speak for a part, each is as good.
	b.Degrade(8)
	b.await("all bear the label", func() bool { b.holds("k", "v"); return !b.failing(0) && !b.failing(1) && b.Client.Degraded() == 8 })
}

// Where everything takes long, more requests are not the answer.
func TestHedgesFollowTheUsual(t *testing.T) {
	t.Parallel()
	c := New(Config{Hosts: []string{"h:1", "h:2"}, Hedge: 30 * time.Millisecond, HedgeWrite: 90 * time.Millisecond})
	defer c.Close()
	read, write := get("k"), put("k", "v")
	expect := func(forRead, forWrite time.Duration) {
		t.Helper()
		if r, w := c.hedge(&read), c.hedge(&write); r.Round(time.Millisecond) != forRead || w.Round(time.Millisecond) != forWrite {
			t.Errorf("reads are hedged after %v, writes after %v, want %v, %v", r, w, forRead, forWrite)
		}
	}
	expect(30*time.Millisecond, 90*time.Millisecond)
	for range 1000 {
		c.usualRead.add(5 * time.Millisecond)
		c.usualWrite.add(50 * time.Millisecond)
	}
	expect(30*time.Millisecond, 200*time.Millisecond)
	for range 1000 {
		c.usualRead.add(20 * time.Millisecond)
		c.usualWrite.add(time.Minute)
	}
	expect(80*time.Millisecond, time.Second)
	for range 1000 {
		c.usualRead.add(0)
		c.usualWrite.add(0)
	}
	expect(30*time.Millisecond, 90*time.Millisecond)
}

// Who speaks something else is no server of the table.
func TestForeign(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ""} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				buf := make([]byte, 1024)
				_, _ = c.Read(buf)
				_, _ = c.Write([]byte(says))
				_ = c.Close()
			}
		}()
		table := standin.New(t, 1)
		c := New(Config{Hosts: []string{l.Addr().String(), table.Addrs()[0]}, Idle: 8})
		b := &bench{T: t, Table: table, Client: c}
		c.Prefer(0)
		b.put("k", "v")
		for range 20 {
			b.holds("k", "v")
		}
		c.Close()
		_ = l.Close()
	}
}

// The one that is connected first is preferred.
func TestRace(t *testing.T) {
	t.Parallel()
	b := newBench(t, 3, never)
	b.Servers[0].Kill()
	b.Servers[2].Kill()
	b.Race(t.Context(), time.Millisecond)
	if h := b.sticky.Load(); h != 1 {
		t.Errorf("%d is preferred", h)
	}
	b.Servers[1].Kill()
	b.Race(t.Context(), time.Millisecond) // and ends
}

// Many callers, servers that come and go: each write is carried out once.
func TestChaos(t *testing.T) {
	t.Parallel()
	b := newBench(t, 3, 5*time.Millisecond)
	stop := make(chan struct{})
	var wg, chaos sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("%d-%d", caller, i)
				b.do(put(key, key))
				if a := b.do(get(key)); string(a.Body) != key {
					t.Errorf("%q holds %q", key, a.Body)
				}
				if n := b.Table.Writes(key); n != 1 {
					t.Errorf("%q was written %d times", key, n)
				}
			}
		})
	}
	chaos.Go(func() {
		for i := range 12 {
			s := b.Servers[i%3]
			switch i % 4 {
			case 0:
				s.Kill()
				time.Sleep(20 * time.Millisecond)
				s.Start()
			case 1:
				s.Freeze()
				time.Sleep(30 * time.Millisecond)
				s.Thaw()
			case 2:
				s.LoseAnswers(50)
				time.Sleep(20 * time.Millisecond)
			case 3:
				s.Refuse(true)
				time.Sleep(20 * time.Millisecond)
				s.Refuse(false)
			}
		}
	})
	chaos.Wait()
	close(stop)
	wg.Wait()
}
