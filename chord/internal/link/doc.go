// Package link is the network between the nodes of a chord table, and from them to
// tools: gRPC as chordpb/chord.proto has it, on the port where the same process speaks
// memcached's protocol. It carries the messages of package msg and decides nothing.
//
//	Mesh ──Talk──────────> Mesh      what this node has to say to another
//	Mesh <──────────Talk── Mesh      what that one has to say, over a connection of its own
//	tools: Client ──Info, Status, Resolve, Leave, Fail──> Mesh ──> Calls
//
// # Towards an event loop
//
// Whoever owns the state takes [Event] values from one channel and calls [Mesh.Send],
// which waits for nothing. There is no list of peers to keep: who is sent something is
// dialed, and its connection closed when it has not been used for a minute.
//
//	events := make(chan link.Event, 64)
//	mesh := link.NewMesh(link.Config{Ring: id, Bits: 8, Self: self, Calls: calls, Events: events})
//	go mesh.Serve(listener)
//	for e := range events {
//		switch e := e.(type) {
//		case link.Up:       core.Up(now, e.Peer)
//		case link.Down:     core.Down(now, e.Peer, e.Refused)
//		case link.Received: core.Receive(now, e.From, e.Msgs)
//		}
//		for _, o := range core.Out() {
//			mesh.Send(o.To, o.Message)
//		}
//	}
//
// A loop that falls behind holds up who sends to it: what it hasn't taken stays with
// the readers, then in gRPC's windows (a MB for each connection), then in the senders'
// queues. A queue that is over its limit is thrown away, and its connection with it.
//
// # What a broken connection means
//
// A process that dies takes its connections along, and its machine says that nobody
// listens there any more. So a connection that breaks is dialed again at once, and
// where that is refused, 2 ms later once more: then the peer is Down, and Refused. So it
// is when another process, by its boot ID, answers at its address. It takes some
// milliseconds from the kill. A process that is just dying may still take a call and
// hang up, or drop it without a word: such calls are repeated a few times at that pace.
//
// A refusal is not believed while a connection that the peer dialed is open. All else
// is Down without Refused, since a living peer may be behind it:
//
//	hung up, or reset      a call that is made later tells more
//	no answer              a process that is stopped, a lost machine, a cut line
//	no way there           our own machine's trouble, or a router's
//	another ring, TLS ...  somebody listens, and we don't get along: Rejected says why
//
// After that a peer is dialed while there is something to send to it, with rests that
// grow from 50 ms to 1 s, and at once when it calls itself. That a connected peer is
// silent is not this package's concern, with one exception: where the machine of the
// peer acknowledges nothing for 3 s the connection is given up.
//
// # On the wire
//
// Frames between nodes are protobuf around a form of this package's own (encode.go):
// what nearly all is made of, entries, is written and read without anything in between,
// and each has its key and its value allocated, nothing else. Lengths are limited
// (decode.go), and what is read shares nothing with the buffer that it came in. A node
// of another protocol version, ring, size of ring, number of copies or longest value is
// told so and refused.
package link
