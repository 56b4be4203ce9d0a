// Package demo shows a table at work: three servers, a commands file, one server
// killed and brought back while the file runs and callers read.
//
// Nothing in it is a prepared story. What a demo says of keys comes from Locate
// and Get before and after, what it says of times from the views that the table
// reported, and at the end it holds what it saw against what was promised:
// [Run] fails if one of the two doesn't fit the other.
//
// The servers are either our own, child processes of the program itself, or
// real memcached with watchdogs and a ZooKeeper; the story is the same.
package demo
