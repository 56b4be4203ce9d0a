// Package wire takes bytes apart that packages msg and state have put together:
// numbers, lengths, strings of bytes, one after another, each within a limit.
//
//	r := wire.NewReader(b, limit)
//	name, age := r.Bytes(100, "bytes of a name"), r.Uvarint()
//	if err := r.End(); err != nil { ... }
//
// The first mistake stays, and what is read after it is zero, so that only the end
// has to look. There is no writer: package binary appends.
package wire
