package tabletest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/tabletest"
)

func TestMemory(t *testing.T) {
	tabletest.Run(t, func(*testing.T) torc.Table { return tabletest.NewMemory() },
		memoryOptions(func(table torc.Table) *tabletest.Memory { return table.(*tabletest.Memory) })...)
}

// memoryOptions are those of a table that memory finds a Memory in.
func memoryOptions(memory func(torc.Table) *tabletest.Memory) []tabletest.Option {
	return []tabletest.Option{
		tabletest.ValueLimits(tabletest.MaxValue, tabletest.MaxValue+1),
		tabletest.Churn(func(_ *testing.T, table torc.Table) {
			memory(table).SetMembers(
				torc.Member{Addr: "b:1", Weight: 1, Since: time.Now()},
				torc.Member{Addr: "a:1", Weight: 1, Since: time.Now()})
		}),
	}
}

// modest is a table that can't do much, and says so.
type modest struct{ *tabletest.Memory }

const modestKey, modestBinaryKey, modestValue = 100, 50, 1 << 16

func (m modest) Get(ctx context.Context, key string) (torc.Entry, error) {
	if err := m.check("get", key); err != nil {
		return torc.Entry{}, err
	}
	return m.Memory.Get(ctx, key)
}

func (m modest) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	if err := m.check("put", key); err != nil {
		return err
	}
	o, err := torc.ResolvePut(opts)
	switch {
	case err != nil:
	case o != torc.PutOptions{}:
		err = torc.ErrUnsupported
	case len(value) > modestValue:
		err = torc.ErrTooLarge
	default:
		return m.Memory.Put(ctx, key, value)
	}
	return &torc.Error{Op: "put", Key: key, Err: err}
}

func (m modest) Delete(ctx context.Context, key string) error {
	if err := m.check("delete", key); err != nil {
		return err
	}
	return m.Memory.Delete(ctx, key)
}

func (m modest) Locate(ctx context.Context, key string) (torc.Placement, error) {
	if err := m.check("locate", key); err != nil {
		return torc.Placement{}, err
	}
	return m.Memory.Locate(ctx, key)
}

func (m modest) check(op, key string) error {
	limit := modestKey
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			limit = modestBinaryKey
		}
	}
	if len(key) > limit {
		return &torc.Error{Op: op, Key: key, Err: fmt.Errorf("%w: the key has more than %d bytes", torc.ErrInvalid, limit)}
	}
	return nil
}

// A table may promise less, as long as it says so and keeps to that.
func TestModest(t *testing.T) {
	tabletest.Run(t, func(*testing.T) torc.Table { return modest{tabletest.NewMemory()} },
		tabletest.KeyLimits(modestKey, modestBinaryKey),
		tabletest.ValueLimits(modestValue, modestValue+1),
		tabletest.Lacks(tabletest.TTLs, tabletest.Conditions))
}
