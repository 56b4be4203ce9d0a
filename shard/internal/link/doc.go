// Package link is the network between the processes of a sharded table: gRPC as
// shardpb/shard.proto has it, on the port where the same process speaks
// memcached's protocol. It carries the messages of package msg and decides
// nothing.
//
//	            Peers ──Peer──────────> Service      a server's, to the other servers
//	            Service <──────Peer── Peers          (one stream each way)
//	            Attachment <──Attach──> Service      a server's, to its master
//	tools:      Client ──GetMap, Status ...──> Service
//
// # Towards an event loop
//
// Whoever owns the state takes [Event] values from one channel and sends on a
// [Conn], whose methods wait for nothing. Encoding, decoding and blocking are for the
// goroutines in between, one or two for each connection, so that a peer which
// hangs costs the others nothing:
//
//	events := make(chan link.Event, 128)
//	peers := link.NewPeers(self, link.Options{}, events)
//	for e := range events {
//		switch e := e.(type) {
//		case link.PeerUp:
//			conns[e.Conn.Boot] = e.Conn
//		case link.PeerMessages: ...
//			conns[e.From].Send(&msg.Ack{Upto: n})
//		}
//	}
//
// A loop that falls behind holds up who sends to it: what it hasn't taken stays
// with the readers, then in gRPC's windows (a MB for each connection), then in the
// senders' queues. A queue that is over its limit ends its connection. Nothing is
// ever left out between two messages that arrive: a connection that loses
// something loses all that follows, as package msg demands.
//
// Close may be called by the loop itself: it waits for goroutines, and none of
// them for the loop.
//
// # What others do
//
// As in CockroachDB's Raft transport and TiKV's, each peer has a queue and a
// goroutine that puts what waits there together into one message. Unlike theirs,
// and etcd's, a full queue drops no single messages: Raft's are made to get lost,
// and these are numbered and come in order. And unlike etcd's there is one stream
// for large and small, which the order asks for: a promise waits for the chunks
// before it, some milliseconds if the sender keeps to a MB or two that are not
// acknowledged. Unlike all three's, a connection that breaks is shown to the loop
// as another one, with a Conn of its own.
//
// # On the wire
//
// Everything is plain protobuf, for grpcurl and other people's clients. Batches
// and acknowledgements, which are nearly all there is, are encoded and decoded by
// hand to the same bytes (wire.go), by a codec that calls protobuf-go for the
// rest: of each entry, its key and its value are the only allocations, and neither
// holds on to anything else. Not compressed: the machines are near each other, and
// a core has better things to do.
package link
