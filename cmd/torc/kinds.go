package main

// The kinds of table that torc opens, by their URL schemes.
import (
	_ "github.com/torc-dht/torc/chord"           // chord://
	_ "github.com/torc-dht/torc/fleet"           // memcached:// and memcached+file:
	_ "github.com/torc-dht/torc/fleet/zookeeper" // zk://
	_ "github.com/torc-dht/torc/replica"         // replica://
	_ "github.com/torc-dht/torc/shard"           // shard://
)
