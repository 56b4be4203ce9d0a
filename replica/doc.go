// Package replica is a table of one to four servers that each hold all of it and
// speak HTTP.
//
// [Server] is one of the servers, as kv-server runs it. [Status] is what it tells
// of itself and of the others.
package replica
