// Package msg has what the nodes of a chord table tell each other, besides what
// package ring says for the ring itself. A message is a plain value; who sends it
// keeps nothing of it to change, and who gets it doesn't change it either.
//
// Messages from one process to another come in the order in which they were sent;
// when a connection breaks, a suffix of them is lost. Items of a Batch are numbered,
// and repeated until they are acknowledged.
//
//	node ── ring.Message, Ping, Pong, Query, Holdings, Deposed, Bye ──> node
//	node ── Batch ──> node ── Ack, Refused ──> node
package msg
