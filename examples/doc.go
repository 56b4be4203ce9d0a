// Package examples holds files to try torc with. The ones that torc demo uses
// are part of the binary.
package examples
