// Package numbers counts a client's operations.
//
// Servers remember what came of each operation of a client, so that it can be sent
// again under its number. Each tells them besides up to which number all others have
// ended: of those they forget it. A replica table's clients number their writes so,
// and a server those of the clients that don't.
package numbers
