// Package shard holds no code: its tests run the programs of the sharded store,
// master-svr, svr, clt and torc shard, as real processes, called as the requirement
// calls them.
//
//	go test ./test/shard -v
//	TORC_SOAK=1 go test ./test/shard -v    every key by clt at every server
//
// The scenarios of the requirement are a script for anyone: test/shard.sh, which a
// test here runs.
package shard
