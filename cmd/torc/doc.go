// Torc is a distributed hash table: one binary that is every program of the
// project. It acts by the name it was called by, so the links that build.sh
// makes beside it are programs of their own:
//
//	torc          everything, by subcommand
//	add           torc chord add
//	clt           torc shard client
//	dht-shell     torc shell, on a ring of memcached servers
//	fail          torc chord fail
//	fleet-client  torc run, on the fleet in zk://127.0.0.1:2181/torc
//	get           torc chord get
//	kv            torc replica client
//	kv-server     torc replica serve
//	master-svr    torc shard master, with the placement modulo
//	node          torc chord node
//	remove        torc chord remove
//	svr           torc shard server
//	update        torc chord update
//	watchdog      torc fleet watchdog, for that fleet
//
// A name that it does not know acts as torc. Whatever the name, the exit code
// is 0 when done, 2 when there is no such key, and 1 for anything else.
//
// The reference of every command is in docs/cli and docs/man. Both are
// generated from the commands themselves:
//
//	go generate ./cmd/torc
package main

//go:generate go test -count=1 -run ^TestReference$ . -update
