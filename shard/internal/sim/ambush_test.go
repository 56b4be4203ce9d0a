package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/internal/msg"
)

func item(k msg.Kind) func(*world, msg.Message) bool {
	return func(_ *world, m msg.Message) bool {
		b, ok := m.(*msg.Batch)
		return ok && slices.ContainsFunc(b.Items, func(it msg.Item) bool { return it.Kind == k })
	}
}

func message[M msg.Message](_ *world, m msg.Message) bool {
	_, ok := m.(M)
	return ok
}

// moments are messages at which a fault may find a bug that one at a time of
// chance would not.
var moments = []func(*world, msg.Message) bool{
	item(msg.Write), item(msg.Write), item(msg.Begin), item(msg.Chunk), item(msg.End), item(msg.Resync),
	message[*msg.MapUpdate], message[*msg.MapUpdate], message[*msg.Filled], message[*msg.HandOver],
	message[*msg.GaveUp], message[*msg.DropCopy], message[*msg.Ack], message[*msg.Granted], message[*msg.Report],
}

// ambush lets a fault come when somebody has just sent a certain message, or
// received it, some time after now.
func (w *world) ambush(rng *rand.Rand) {
	is := moments[rng.IntN(len(moments))]
	left := 1 + rng.IntN(5)
	lasting := time.Duration(50+rng.IntN(2500)) * time.Millisecond
	kind := []simnet.Kind{simnet.Kill, simnet.Kill, simnet.Freeze, simnet.Isolate}[rng.IntN(4)]
	sees := func(at simnet.Addr, m msg.Message) {
		if left == 0 || !is(w, m) {
			return
		}
		if left--; left > 0 {
			return
		}
		w.net.At(w.net.Now(), func() { w.inject(simnet.Planned{For: lasting, Fault: simnet.Fault{Kind: kind, A: at}}) })
	}
	if rng.IntN(2) == 0 {
		w.onSent = append(w.onSent, sees)
	} else {
		w.onReceived = append(w.onReceived, sees)
	}
}
