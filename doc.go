// Package torc is a distributed hash table: a [Table] is a hash table that many
// machines hold together. A caller says Get, Put and Delete; torc decides which
// machines hold the key and goes on working while machines come and go.
//
//	t, err := torc.Open(ctx, "zk://127.0.0.1:2181/torc")
//	...
//	err = t.Put(ctx, "greeting", []byte("hello"))
//	e, err := t.Get(ctx, "greeting")
//
// This package holds the interface and nothing that plays it. Each kind of
// table is a package of its own and registers a URL scheme with [Open]:
//
//	fleet            memcached://  a fixed list of memcached servers
//	fleet/zookeeper  zk://         memcached servers that announce themselves in ZooKeeper
//	shard            shard://      torc servers, and a master that knows the map
//	replica          replica://    one to four torc servers that each hold all of it
//
// What one kind promises and another does not (whether entries may be evicted,
// what survives which fault) is in the documentation of each.
package torc
