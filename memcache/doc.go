// Package memcache speaks memcached's protocol, from both sides.
//
// A [Client] speaks to one server. The requests of many goroutines go out
// together on a few connections, so that 64 callers cost little more than one;
// each has its own context, and giving up one request leaves the others and the
// connection alone:
//
//	c := memcache.NewClient("127.0.0.1:11211", memcache.Config{})
//	defer c.Close()
//	_, err := c.Set(ctx, memcache.Item{Key: "k", Value: []byte("v"), TTL: time.Minute}, memcache.ModeSet)
//	item, err := c.Get(ctx, "k")
//
// One goroutine with many requests, to one server or to several, puts them in a
// [Group]: they go out together and are waited for together. A Get that may have
// to be asked elsewhere if it takes long is [Client.GetHedged].
//
// Which of many servers holds a key is not its concern: that is package fleet's.
//
// A [Server] is shaped like net/http's: a Handler does what the requests ask, be
// it on package store's memory or on a whole table. One that answers later, or on
// another goroutine, is a [BatchHandler], and gets together what came together.
//
// # Errors
//
// A request that the server declined fails with one of the sentinels, or with a
// *[ServerError] in the server's words; the connection is as good as before. One
// that had no answer fails with a *[ConnError], which says since when the server
// has been failing and whether the request may have been carried out. The client
// never sends a request twice. Its caller may, if the server knows of [OpID]s and
// the request has one.
//
// # Whose answer is it
//
// memcached answers in order, and a client that counts wrong once, or meets a
// server that does, gives every caller somebody else's value from then on. So
// each request carries a mark (the meta commands' opaque) that its answer has to
// repeat; where it does not, or where what comes is not the protocol, the
// connection is closed and nobody gets a value.
package memcache
