// Package shard holds no code: its tests run the programs of the sharded store,
// master-svr, svr, clt and torc shard, as real processes, called as the requirement
// calls them.
//
//	go test ./test/shard -v                       each fault a few times
//	go test ./test/shard -v -faults 5 -table F    five times, and what was measured written to F
//	TORC_SOAK=1 go test ./test/shard -timeout 1h  twenty times, and every key by clt at every server
//
// The scenarios of the requirement are a script for anyone: test/shard.sh, which a
// test here runs. The faults are played under load, with clients that read and
// write the same keys and record what they saw; porcupine judges that.
package shard
