// Package msg has what the master and the servers of a sharded table tell each
// other. A message is a plain value; who sends it keeps nothing of it to change.
//
// Messages between two processes go over one connection at a time and come in the
// order in which they were sent; when it breaks, a suffix of them is lost.
//
//	server ── Hello, Report, Beat, Filled, GaveUp, DropCopy, Leave ──> master
//	server <── Prepare, Refuse, MapUpdate, Granted, HandOver, Released ── master
//	server ── MapUpdate, Ask, Granted, Batch, Ack ──> server
package msg
