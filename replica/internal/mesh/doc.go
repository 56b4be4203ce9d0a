// Package mesh carries messages between the one to four nodes of a replica table,
// over TCP or TLS, on the port that clients use too.
//
// # Pairs of connections
//
// Each node dials each other one. Over the connection that it dialed a node sends,
// over the one that it accepted it receives, and each breaks by itself:
//
//	node 0 ── dials ──> Preface, hello ─────────────> accepts   node 1
//	            <────── welcome, or why not ──────────
//	            ─────── frame, frame, frame ... ─────>
//	       accepts <─── Preface, hello ────────────── dials
//	            ...
//
// [Preface] begins with a zero byte, so whoever listens can tell a node from an
// HTTP client; it reads the preface and hands the connection to [Mesh.Accept].
// The hello says by which version of the protocol and which list of addresses its
// sender lives, who it is and whom it means. If the lists differ nothing goes over
// the connection, and both ends log both lists, at most once a minute. A frame is
// a length of four bytes, little-endian, and a message as package msg encodes it.
//
// Messages of one connection arrive in order. What was sent over one that breaks
// may be lost. When a peer makes a connection while there is an older one of its,
// the older one is closed, and no message of it comes after one of the new.
//
// # What a broken connection means
//
// A process that dies takes its connections along at once, and its machine says
// that nobody listens there any more. So a connection that breaks is dialed again
// at once, and if that is refused, 2 ms later once more; then the peer is reported
// as [Disconnected] with Refused set. That takes 3 to 4 ms from the kill. A process
// that is just dying may still take a call, and hang up, or drop it without a word:
// so such calls are repeated a few times at the same pace. After that the peer is
// dialed every 50 ms, or at once when it calls itself, and each failure is reported.
//
// Refused is said of ECONNREFUSED in answer to the call alone: a reset, or its
// ICMP likeness, that came from the peer's address. It proves that at this moment
// no process listens on that port of that address, unless a firewall speaks in its
// name: so it is not believed as long as a connection that the peer dialed is open.
// All else is Disconnected without Refused, since a live peer may be behind:
//
//	ECONNRESET, EOF          somebody hung up; the next call tells more
//	a time-out               a frozen process, a lost machine, a cut line
//	EHOSTUNREACH             a router, or our kernel, that finds no way there
//	ENETUNREACH, EADDRNOTAVAIL, EMFILE  our own machine's trouble
//	a TLS error, a refused hello        somebody listens, and we don't get along
//
// A peer that is connected and silent is not the mesh's concern, with one
// exception: a machine that acknowledges nothing for 5 s is given up.
package mesh
