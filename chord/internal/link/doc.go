// Package link is the network between the nodes of a chord table, and from them to
// tools: gRPC as chordpb/chord.proto has it, on the port where the same process speaks
// memcached's protocol. It carries the messages of package msg and decides nothing.
package link
