// Package msg has the words in which the nodes of a replica table talk: names of
// nodes and epochs, clients' operations and their results, and the messages
// between nodes, with the bytes they are on the wire.
//
// Values and messages may be in several hands at once. Nobody changes one that
// was handed on.
package msg
