//go:build !unix

package replica

// openFiles is how many files and connections this process may have open at once;
// false where that isn't limited, or not known.
func openFiles() (limit uint64, limited bool) { return 0, false }
