package tabletest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/tabletest"
)

// broken is a Memory with one thing wrong: whichever of the functions is set
// stands in for the method.
type broken struct {
	*tabletest.Memory
	get     func(ctx context.Context, key string) (torc.Entry, error)
	put     func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error
	del     func(ctx context.Context, key string) error
	locate  func(ctx context.Context, key string) (torc.Placement, error)
	members func(ctx context.Context) iter.Seq2[torc.View, error]
}

func (b *broken) Get(ctx context.Context, key string) (torc.Entry, error) {
	if b.get != nil {
		return b.get(ctx, key)
	}
	return b.Memory.Get(ctx, key)
}

func (b *broken) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	if b.put != nil {
		return b.put(ctx, key, value, opts...)
	}
	return b.Memory.Put(ctx, key, value, opts...)
}

func (b *broken) Delete(ctx context.Context, key string) error {
	if b.del != nil {
		return b.del(ctx, key)
	}
	return b.Memory.Delete(ctx, key)
}

func (b *broken) Locate(ctx context.Context, key string) (torc.Placement, error) {
	if b.locate != nil {
		return b.locate(ctx, key)
	}
	return b.Memory.Locate(ctx, key)
}

func (b *broken) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	if b.members != nil {
		return b.members(ctx)
	}
	return b.Memory.Members(ctx)
}

// planted are bugs, and for each a part of the suite that has to find it.
var planted = map[string]struct {
	finder string
	plant  func(b *broken)
}{
	"every 50th write is lost": {"Linearizable", func(b *broken) {
		var n atomic.Int64
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			if n.Add(1)%50 == 0 && len(opts) == 0 {
				return nil
			}
			return b.Memory.Put(ctx, key, value, opts...)
		}
	}},
	"reads come from a copy that lags": {"Linearizable", func(b *broken) {
		copies := tabletest.NewMemory()
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			err := b.Memory.Put(ctx, key, value, opts...)
			if err == nil {
				time.AfterFunc(100*time.Microsecond, func() { _ = copies.Put(context.Background(), key, value) })
			}
			return err
		}
		b.get = copies.Get
	}},
	"a condition is looked at, and then the write made": {"Counter", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			o, err := torc.ResolvePut(opts)
			if err == nil && o.Cond == torc.CondVersion {
				if e, err := b.Memory.Get(ctx, key); err == nil && e.Version == o.Version {
					time.Sleep(time.Millisecond)
					return b.Memory.Put(ctx, key, value)
				}
			}
			return b.Memory.Put(ctx, key, value, opts...)
		}
	}},
	"IfAbsent is passed over": {"OneWinner", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			if o, err := torc.ResolvePut(opts); err == nil && o.Cond == torc.CondAbsent {
				return b.Memory.Put(ctx, key, value)
			}
			return b.Memory.Put(ctx, key, value, opts...)
		}
	}},
	"the TTL is passed over": {"TTL", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			if o, err := torc.ResolvePut(opts); err == nil && o.TTL == 1500*time.Millisecond {
				opts = nil
			}
			return b.Memory.Put(ctx, key, value, opts...)
		}
	}},
	"keys are trimmed": {"Keys", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			return b.Memory.Put(ctx, trimmed(key), value, opts...)
		}
		b.get = func(ctx context.Context, key string) (torc.Entry, error) { return b.Memory.Get(ctx, trimmed(key)) }
	}},
	"keys are cut at their limit": {"WrongKeys", func(b *broken) {
		cut := func(key string) string { return key[:min(len(key), torc.MaxKeyLen)] }
		b.get = func(ctx context.Context, key string) (torc.Entry, error) { return b.Memory.Get(ctx, cut(key)) }
	}},
	"values are cut at their limit": {"TooLarge", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			return b.Memory.Put(ctx, key, value[:min(len(value), tabletest.MaxValue)], opts...)
		}
	}},
	"a value that is refused takes the old one with it": {"TooLarge", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			err := b.Memory.Put(ctx, key, value, opts...)
			if errors.Is(err, torc.ErrTooLarge) {
				_ = b.Memory.Delete(ctx, key)
			}
			return err
		}
	}},
	"values end at a line's end": {"Values", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			line, _, _ := bytes.Cut(value, []byte("\r\n"))
			return b.Memory.Put(ctx, key, line, opts...)
		}
	}},
	"two readers get one buffer": {"Ownership", func(b *broken) {
		var last atomic.Pointer[torc.Entry]
		b.get = func(ctx context.Context, key string) (torc.Entry, error) {
			e, err := b.Memory.Get(ctx, key)
			if old := last.Load(); err == nil && old != nil && old.Version == e.Version {
				return *old, nil
			}
			last.Store(&e)
			return e, err
		}
	}},
	"the context is passed over": {"DoneContext", func(b *broken) {
		b.del = func(_ context.Context, key string) error { return b.Memory.Delete(context.Background(), key) }
	}},
	"after a time-out the next answer is the one before": {"HastyContext", func(b *broken) {
		var late atomic.Pointer[torc.Entry]
		b.get = func(ctx context.Context, key string) (torc.Entry, error) {
			e, err := b.Memory.Get(context.Background(), key)
			if ctx.Err() != nil {
				late.Store(&e)
				return torc.Entry{}, &torc.Error{Op: "get", Key: key, Err: fmt.Errorf("%w: %w", torc.ErrUnavailable, ctx.Err())}
			}
			if old := late.Swap(nil); old != nil {
				return *old, nil
			}
			return e, err
		}
	}},
	"errors don't say which key": {"Basics", func(b *broken) {
		b.get = func(ctx context.Context, key string) (torc.Entry, error) {
			e, err := b.Memory.Get(ctx, key)
			if err != nil {
				err = &torc.Error{Op: "get", Err: torc.ErrNotFound}
			}
			return e, err
		}
	}},
	"a miss is an error of its own": {"Basics", func(b *broken) {
		b.del = func(ctx context.Context, key string) error {
			if b.Memory.Delete(ctx, key) != nil {
				return errors.New("not there")
			}
			return nil
		}
	}},
	"the version is a checksum": {"Versions", func(b *broken) {
		b.get = func(ctx context.Context, key string) (torc.Entry, error) {
			e, err := b.Memory.Get(ctx, key)
			e.Version = torc.Version{Epoch: 1, Seq: uint64(len(e.Value))}
			return e, err
		}
	}},
	"a key is located at nobody": {"Locate", func(b *broken) {
		b.locate = func(ctx context.Context, key string) (torc.Placement, error) {
			p, err := b.Memory.Locate(ctx, key)
			p.Owners = nil
			return p, err
		}
	}},
	"Members ends after the first view": {"MembersChange", func(b *broken) {
		b.members = func(ctx context.Context) iter.Seq2[torc.View, error] {
			return func(yield func(torc.View, error) bool) {
				for view, err := range b.Memory.Members(ctx) {
					yield(view, err)
					return
				}
			}
		}
	}},
	"Members is one view behind": {"MembersChange", func(b *broken) {
		b.members = func(ctx context.Context) iter.Seq2[torc.View, error] {
			return func(yield func(torc.View, error) bool) {
				var behind torc.View
				for view, err := range b.Memory.Members(ctx) {
					if behind.Version == 0 {
						behind = view
					}
					if !yield(behind, err) {
						return
					}
					behind = view
				}
			}
		}
	}},
	"Members outlives the table": {"Calls", func(b *broken) {
		b.members = func(ctx context.Context) iter.Seq2[torc.View, error] {
			return func(yield func(torc.View, error) bool) {
				for view, err := range b.Memory.Members(ctx) {
					if err == nil && !yield(view, nil) {
						return
					}
				}
			}
		}
	}},
	"Close leaves a goroutine": {"Close", func(b *broken) {
		go func() { time.Sleep(5 * time.Second) }()
	}},
	"a closed table says that there is no entry": {"Calls", func(b *broken) {
		b.get = func(ctx context.Context, key string) (torc.Entry, error) {
			e, err := b.Memory.Get(ctx, key)
			if errors.Is(err, torc.ErrClosed) {
				err = &torc.Error{Op: "get", Key: key, Err: torc.ErrNotFound}
			}
			return e, err
		}
	}},
	"an empty value over an entry is lost": {"AgainstAModel", func(b *broken) {
		b.put = func(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
			if len(value) == 0 && len(opts) == 0 {
				if _, err := b.Memory.Get(ctx, key); err == nil {
					return nil
				}
			}
			return b.Memory.Put(ctx, key, value, opts...)
		}
	}},
}

func trimmed(key string) string {
	if t := strings.TrimSpace(key); t != "" {
		return t
	}
	return key
}

const plantedEnv = "TORC_TABLETEST_PLANTED"

// TestBroken has nothing to do but in the processes that TestPlanted starts, and
// fails there.
func TestBroken(t *testing.T) {
	bug, ok := planted[os.Getenv(plantedEnv)]
	if !ok {
		return
	}
	tabletest.Run(t, func(*testing.T) torc.Table {
		b := &broken{Memory: tabletest.NewMemory()}
		bug.plant(b)
		return b
	}, memoryOptions(func(table torc.Table) *tabletest.Memory { return table.(*broken).Memory })...)
}

// The suite finds each bug, by the test that is there for it.
func TestPlanted(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(planted)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finder := planted[name].finder
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestBroken$/^(Parallel|Close)$/^"+finder+"$", "-test.timeout=2m", "-rapid.nofailfile")
			if finder == "Close" {
				cmd.Args[1] = "-test.run=^TestBroken$/^Close$"
			}
			cmd.Env = append(os.Environ(), plantedEnv+"="+name, "TMPDIR="+t.TempDir())
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !regexp.MustCompile(`(?m)^ *--- FAIL: TestBroken/(\w+/)?`+finder+` `).Match(out) {
				t.Errorf("%s did not find it: %v\n%s", finder, err, out)
			}
		})
	}
}
