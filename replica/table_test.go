package replica

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/standin"
)

func newTable(t testing.TB, stand *standin.Table, opts TableOptions) *Table {
	t.Helper()
	table, err := New(t.Context(), stand.Addrs(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() }) // returns nil
	return table
}

// nobody returns an address at which nobody listens.
func nobody(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // it has served
	return l.Addr().String()
}

func TestSwap(t *testing.T) {
	t.Parallel()
	ctx, stand := t.Context(), standin.New(t, 2)
	table := newTable(t, stand, TableOptions{})
	if e, err := table.Swap(ctx, "k", []byte("a")); err != nil || e.Version != (torc.Version{}) || e.Value != nil {
		t.Errorf("the first: %+v, %v", e, err)
	}
	a, err := table.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	stand.Servers[0].LoseAnswers(1) // the leader's
	if e, err := table.Swap(ctx, "k", nil); err != nil || string(e.Value) != "a" || e.Version != a.Version {
		t.Errorf("the second: %+v, %v, want %+v", e, err, a)
	}
	if e, err := table.Swap(ctx, "k", []byte("c")); err != nil || e.Version == (torc.Version{}) || len(e.Value) != 0 || e.Value == nil {
		t.Errorf("an empty value is none: %+v, %v", e, err)
	}
	if _, err := table.Swap(ctx, "", nil); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
}

// Many swaps of one key at once, over servers that lose answers: each value comes
// back once.
func TestSwapsFormAChain(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 3)
	table := newTable(t, stand, TableOptions{Hedge: 2 * time.Millisecond})
	const callers, swaps = 8, 50
	var seen sync.Map
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range swaps {
				if i%10 == 0 {
					stand.Servers[(caller+i)%3].LoseAnswers(2)
				}
				e, err := table.Swap(t.Context(), "k", []byte{byte(caller), byte(i)})
				if err != nil {
					t.Error(err)
					return
				}
				if _, again := seen.LoadOrStore(string(e.Value), true); again {
					t.Errorf("%v came back twice", e.Value)
				}
			}
		})
	}
	wg.Wait()
	if n := stand.Writes("k"); n != callers*swaps {
		t.Errorf("%d writes, want %d", n, callers*swaps)
	}
}

// What fails says who failed, since when, and whether a write may have happened.
func TestTableErrors(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 1)
	s := stand.Servers[0]
	ctx := t.Context()
	if _, err := newTable(t, stand, TableOptions{}).Get(ctx, "k"); !errors.Is(err, torc.ErrNotFound) || err.Error() != `torc: get "k": no such key` {
		t.Errorf("no key: %v", err)
	}
	table := newTable(t, stand, TableOptions{ReadTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond})
	get := func() error { _, err := table.Get(ctx, "k"); return err }
	put := func() error { return table.Put(ctx, "k", nil) }
	// Each call ends when its time is up, in whatever it is doing then; so what is
	// wanted may take several.
	fails := func(what string, call func() error, want string, unknown bool) (last *torc.Error) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; {
			err := call()
			if !errors.As(err, &last) || !errors.Is(err, torc.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) ||
				strings.Count(err.Error(), "unavailable") != 1 {
				t.Fatalf("%s: %v", what, err)
			}
			if last.Member == s.Addr && strings.Contains(err.Error(), want) && errors.Is(err, torc.ErrUnknownOutcome) == unknown {
				return last
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %v, want %q of %s, outcome unknown: %v", what, err, want, s.Addr, unknown)
			}
		}
	}
	s.Freeze()
	_ = fails("a frozen server's read", get, "no answer", false)
	_ = fails("a frozen server's write", put, "no answer", true)
	s.Thaw()
	s.Refuse(true)
	_ = fails("a write of one that can't serve", put, "too few servers can be reached", false)
	if e := fails("a read of one that can't serve", get, "too few servers can be reached", false); e.Since.IsZero() {
		t.Errorf("it is not said since when: %v", e)
	}
	s.Refuse(false)
	s.Kill()
	_ = fails("a dead server's read", get, "connection refused", false)
	_ = fails("a dead server's write", put, "connection refused", false)
}

func TestFullAndRepeated(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{"507 Insufficient Storage": torc.ErrUnavailable, "409 Conflict": torc.ErrUnknownOutcome, "400 Bad Request": torc.ErrInvalid, "302 Found": torc.ErrUnavailable} {
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
				buf := make([]byte, 4096)
				n, _ := c.Read(buf)
				status, body := code, "a line\nand another"
				if strings.HasPrefix(string(buf[:n]), "GET / ") {
					status, body = "200 OK", `{"serving":true,"members":[]}`
				}
				_, _ = c.Write([]byte("HTTP/1.0 " + status + "\r\nContent-Length: " + string(rune('0'+len(body)/10)) + string(rune('0'+len(body)%10)) + "\r\n\r\n" + body))
				_ = c.Close()
			}
		}()
		table, err := New(t.Context(), []string{l.Addr().String()}, TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		err = table.Put(t.Context(), "k", nil)
		var e *torc.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Member != l.Addr().String() || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
		_ = table.Close()
		_ = l.Close()
	}
}

func TestDegraded(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 2)
	table := newTable(t, stand, TableOptions{})
	check := func(want uint64) {
		t.Helper()
		if err := table.Put(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		if epoch, is := table.Degraded(); epoch != want || is != (want != 0) {
			t.Errorf("degraded: %d, %v, want %d", epoch, is, want)
		}
	}
	check(0)
	stand.Degrade(5)
	check(5)
	stand.Degrade(0)
	check(0)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 2)
	table := openTable(t, stand.URL()+"?read-timeout=1s&write-timeout=2s&hedge=10ms&conns=3").(*Table)
	if o := table.opts; o.ReadTimeout != time.Second || o.WriteTimeout != 2*time.Second || o.Hedge != 10*time.Millisecond || o.Conns != 3 {
		t.Errorf("options: %+v", o)
	}
	_ = table.Close()
	for url, want := range map[string]string{
		"replica:":                                "write replica://host:port",
		"replica://h:1/path":                      "write replica://host:port",
		"replica://h":                             "no port",
		"replica://a:1,b:1,c:1,d:1,e:1":           "5 hosts",
		"replica://h:1?copies=2":                  `no parameter "copies"`,
		"replica://h:1?conns=0":                   "from 1 to 1024",
		"replica://h:1?hedge=x":                   "30ms",
		"replica://h:1?tls=on&tls-ca=/nowhere/ca": "no such file",
	} {
		if _, err := torc.Open(t.Context(), url); !errors.Is(err, torc.ErrInvalid) || want != "30ms" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	if _, err := New(t.Context(), nil, TableOptions{}); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("no host: %v", err)
	}
}

// Opening waits for a server that serves.
func TestOpenWaits(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 2)
	stand.Lead(-1)
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := New(short, stand.Addrs(), TableOptions{}); !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), "not found enough") {
		t.Errorf("nobody leads: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { stand.Lead(1) })
	stand.Servers[0].Kill()
	table, err := New(t.Context(), stand.Addrs(), TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_ = table.Close()

	dead := nobody(t)
	short, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var e *torc.Error
	if _, err := New(short, []string{dead}, TableOptions{}); !errors.As(err, &e) || e.Member != dead || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	ctx, stand := t.Context(), standin.New(t, 4)
	table, err := New(ctx, stand.Addrs()[:3], TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.Put(ctx, "k", []byte("value")); err != nil {
		t.Fatal(err)
	}
	stand.Servers[1].Kill()
	s, err := table.Survey(ctx)
	if err != nil || s.Placement != "all" || s.Copies != 4 || len(s.Members) != 4 {
		t.Fatalf("Survey = %+v, %v", s, err)
	}
	for _, m := range s.Members {
		unasked := m.Addr == stand.Addrs()[1] || m.Addr == stand.Addrs()[3]
		if m.Share != 0.25 || unasked != (m.Err != nil) || !unasked && (m.Entries != 1 || m.Bytes != 5) {
			t.Errorf("%s: %+v, %v", m.Addr, m, m.Err)
		}
	}
}

// While no server can be asked, the view is the last one known and says so.
func TestMembersLoseContact(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 1)
	table := newTable(t, stand, TableOptions{})
	n := 0
	for view, err := range table.Members(t.Context()) {
		if err != nil || len(view.Members) != 1 || view.Members[0].Addr != stand.Addrs()[0] {
			t.Fatalf("view %+v, %v", view, err)
		}
		if lost := !view.LostContact.IsZero(); lost != (n%2 == 1) {
			t.Fatalf("view %d: %+v", n, view)
		}
		switch n++; n {
		case 1:
			stand.Servers[0].Kill()
		case 2:
			if p, err := table.Locate(t.Context(), "k"); err != nil || len(p.Owners) != 1 {
				t.Errorf("Locate = %+v, %v", p, err)
			}
			stand.Servers[0].Start()
		case 3:
			return
		}
	}
	t.Error("Members ended")
}

// A part of the table that kept its quorum counts more than one that went on
// without, whose epoch has a higher number.
func TestBetterView(t *testing.T) {
	t.Parallel()
	status := func(degraded bool, epoch, view uint64) *Status {
		return &Status{Degraded: degraded, Epoch: Epoch{Number: epoch}, View: view}
	}
	order := []*Status{status(true, 3, 9), status(true, 4, 1), status(true, 4, 2), status(false, 1, 5), status(false, 2, 1)}
	for i, a := range order {
		for j, b := range order {
			if better(a, b) != (i > j) {
				t.Errorf("%+v against %+v: %v", a, b, better(a, b))
			}
		}
	}
}

// An operation's deadline is as long as its options say, where its context has none.
func TestPatienceIsTheOptions(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 1)
	table := newTable(t, stand, TableOptions{})
	came, release := make(chan struct{}), make(chan struct{})
	stand.Servers[0].Before(func(op *msg.Op) {
		if op.Key == "held" {
			came <- struct{}{}
			<-release
		}
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-came; cancel() }()
	if err := table.Put(ctx, "held", nil); !errors.Is(err, torc.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while the server holds it: %v", err)
	}
}
