package memcache

import (
	"iter"
	"time"

	"github.com/torc-dht/torc/store"
)

// Items is what a handler of [NewHandler] serves. A *[store.Store] is Items, and
// so may be what keeps its items by other rules: the methods have the contracts
// of the store's. They are called by whichever goroutine calls the handler.
//
// What asks for all items at once is answered with a SERVER_ERROR unless the
// Items are also an [ItemWalker], an [ItemFlusher] or an [ItemCounter].
type Items interface {
	Get(key []byte) (store.Item, bool)
	// Update calls f once, before it returns, unless it fails without. Of an
	// error that is neither store.ErrFull nor store.ErrTooLarge the client gets
	// the text, which must be one line, as a SERVER_ERROR.
	Update(key []byte, f func(it *store.Item, found bool) store.Action) (cas uint64, err error)
	Now() int64
}

// ItemWalker is Items that lru_crawler metadump lists.
type ItemWalker interface{ All() iter.Seq[store.Item] }

// ItemFlusher is Items that flush_all removes.
type ItemFlusher interface{ Flush(at time.Time) }

// ItemCounter is Items with figures for stats.
type ItemCounter interface {
	Stats() store.Stats
	ResetStats()
	Evicts() bool
}

var _ interface {
	Items
	ItemWalker
	ItemFlusher
	ItemCounter
} = (*store.Store)(nil)
