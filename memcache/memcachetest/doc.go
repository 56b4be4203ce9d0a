// Package memcachetest starts real memcached servers for tests, and has a
// conformance suite that says whether a server at some address does what
// package memcache's client relies on.
package memcachetest
