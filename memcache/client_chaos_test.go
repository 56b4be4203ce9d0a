package memcache_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// chaosProxy passes bytes on to the server at addr in pieces, late, not for a
// while, or not at all any more, as chance has it.
func chaosProxy(t *testing.T, addr string) (front string, cuts *atomic.Int64) {
	cuts = new(atomic.Int64)
	front = fakeServer(t, func(_ int, s *session) {
		back, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		hangUp := func(abruptly bool) {
			for _, nc := range []net.Conn{s.Conn, back} {
				if abruptly {
					_ = nc.(*net.TCPConn).SetLinger(0)
				}
				_ = nc.Close()
			}
		}
		var wg sync.WaitGroup
		for _, way := range []struct{ from, to net.Conn }{{s.Conn, back}, {back, s.Conn}} {
			wg.Go(func() {
				defer hangUp(false)
				buf := make([]byte, 8<<10)
				for {
					n, err := way.from.Read(buf[:1+rand.N(len(buf))])
					if err != nil {
						return
					}
					switch roll := rand.N(1000); {
					case roll < 10: // cut in the middle of what came
						_, _ = way.to.Write(buf[:rand.N(n)])
						cuts.Add(1)
						hangUp(rand.N(2) == 0)
						return
					case roll < 12: // longer than any time-out, now and then
						time.Sleep(rand.N(400 * time.Millisecond))
					case roll < 60:
						time.Sleep(rand.N(3 * time.Millisecond))
					}
					for part := buf[:n]; len(part) > 0; {
						size := len(part)
						if rand.N(20) == 0 {
							size = 1 + rand.N(size)
						}
						if _, err := way.to.Write(part[:size]); err != nil {
							return
						}
						part = part[size:]
					}
				}
			})
		}
		wg.Wait()
	})
	return front, cuts
}

// written is what became of one value: each is written once.
type written struct {
	value   string
	unsent  atomic.Bool // its write failed and was surely not carried out
	wasRead atomic.Bool
}

// chaosValue is a value of key that nobody else writes, with all that could be
// taken for the end of one inside.
func chaosValue(key string, id int64) string {
	unit := fmt.Sprintf("%s=%d\r\nEN\r\nVA 3 f0 c1 t-1 O0000\r\n", key, id)
	return strings.Repeat(unit, 1+int(id%7)*int(id%11)*5)
}

func TestChaos(t *testing.T) {
	dialWrapped := func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", addr)
		return struct{ net.Conn }{nc}, err // none whose socket the client could use
	}
	for name, dialer := range map[string]func(context.Context, string) (net.Conn, error){"sockets": nil, "connections": dialWrapped} {
		t.Run(name, func(t *testing.T) {
			addr := startServer(t, &memcache.Server{Handler: newHandler()})
			chaos(t, addr, memcache.Config{Dialer: dialer})
		})
	}
	t.Run("TLS", func(t *testing.T) {
		front, roots := tlsFront(t, startServer(t, &memcache.Server{Handler: newHandler()}))
		chaos(t, front, memcache.Config{TLS: &tls.Config{RootCAs: roots}})
	})
}

// chaos has 64 callers write, read and give up through a chaosProxy. Whatever
// happens, a value that is read was written to that key, and by a write that did
// not claim never to have been sent; and nobody waits for ever.
func chaos(t *testing.T, addr string, cfg memcache.Config) {
	const (
		callers  = 64
		keys     = 40
		duration = 1500 * time.Millisecond
		timeout  = 200 * time.Millisecond
		patience = 10 * time.Second // with a busy machine
	)
	front, cuts := chaosProxy(t, addr)
	cfg.ReadTimeout, cfg.WriteTimeout, cfg.StallTimeout = timeout, 2*timeout, 3*timeout
	cfg.BackoffMax = 5 * time.Millisecond
	cfg.MaxPending = 50
	c := memcache.NewClient(front, cfg)

	var writes sync.Map // of *written, by value
	var ids, reads, failures, unsent atomic.Int64
	var slowest atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			var group memcache.Group
			var keyOf []string
			var sets []*written // in the group; nil is a get
			for {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				switch rand.N(4) {
				case 0:
					ctx, cancel = context.WithTimeout(ctx, rand.N(3*time.Millisecond))
				case 1:
					ctx, cancel = context.WithCancel(ctx)
					time.AfterFunc(rand.N(3*time.Millisecond), cancel)
				}
				closed := false
				note := func(err error) {
					var ce *memcache.ConnError
					if errors.Is(err, memcache.ErrClosed) {
						closed = true
					} else if errors.As(err, &ce) {
						failures.Add(1)
					} else if err != nil && !errors.Is(err, memcache.ErrNotFound) {
						t.Error(err)
					}
				}
				toWrite := func(key string) *written {
					w := &written{value: chaosValue(key, ids.Add(1))}
					writes.Store(w.value, w)
					return w
				}
				noteSet := func(w *written, err error) {
					var ce *memcache.ConnError
					if errors.As(err, &ce) && !ce.Sent {
						w.unsent.Store(true)
						unsent.Add(1)
					}
					note(err)
				}
				noteGet := func(key string, item memcache.Item, err error) {
					note(err)
					if err != nil {
						return
					}
					reads.Add(1)
					w, ok := writes.Load(string(item.Value))
					if !ok || !strings.HasPrefix(string(item.Value), key+"=") {
						t.Errorf("%s has a value that nobody wrote to it: %.60q", key, item.Value)
					} else {
						w.(*written).wasRead.Store(true)
					}
				}
				key := fmt.Sprint("key ", rand.N(keys))
				began := time.Now()
				switch roll := rand.N(12); {
				case roll < 3:
					w := toWrite(key)
					buf := []byte(w.value)
					_, err := c.Set(ctx, memcache.Item{Key: key, Value: buf}, memcache.ModeSet)
					clear(buf)
					noteSet(w, err)
				case roll < 6:
					item, err := c.Get(ctx, key)
					noteGet(key, item, err)
				case roll < 8:
					item, late, err := c.GetHedged(ctx, key, rand.N(10*time.Millisecond))
					if late != nil {
						item, err = late.Wait(ctx)
					}
					noteGet(key, item, err)
				default:
					group.Reset()
					for range 1 + rand.N(20) {
						key := fmt.Sprint("key ", rand.N(keys))
						keyOf = append(keyOf[:group.Len()], key)
						if rand.N(3) > 0 {
							group.Get(c, key)
							sets = append(sets[:group.Len()-1], nil)
							continue
						}
						w := toWrite(key)
						group.Set(c, memcache.Item{Key: key, Value: []byte(w.value)}, memcache.ModeSet)
						sets = append(sets[:group.Len()-1], w)
					}
					group.Wait(ctx)
					for i, w := range sets[:group.Len()] {
						if w != nil {
							noteSet(w, group.Err(i))
						} else {
							item, err := group.Item(i)
							noteGet(keyOf[i], item, err)
						}
					}
				}
				cancel()
				if took := int64(time.Since(began)); took > slowest.Load() {
					slowest.Store(took)
				}
				if closed {
					return
				}
			}
		})
	}
	time.Sleep(duration)
	finished := make(chan struct{})
	go func() {
		_ = c.Close() // whatever the callers are doing
		wg.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(patience):
		panic("a call or Close hangs") // for the stacks
	}
	for _, w := range writes.Range {
		if w := w.(*written); w.unsent.Load() && w.wasRead.Load() {
			t.Errorf("%.60q was read, and its write said that it was never sent", w.value)
		}
	}
	t.Logf("%d writes, %d of them unsent; %d values read, %d failures, %d cuts; the slowest call took %v",
		ids.Load(), unsent.Load(), reads.Load(), failures.Load(), cuts.Load(), time.Duration(slowest.Load()))
	if reads.Load() == 0 || failures.Load() == 0 || cuts.Load() == 0 {
		t.Error("too quiet a chaos to show anything")
	}
	if slowest := time.Duration(slowest.Load()); slowest > 2*timeout+patience/2 {
		t.Errorf("a call took %v", slowest)
	}
}
