package crash

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// Guard, deferred as the first thing in main and in every goroutine of a
// program, makes a panic exit with 1, its stack on standard error.
//
// It is for programs. A library lets panics through: they are its caller's.
func Guard() {
	if p := recover(); p != nil {
		report(os.Stderr, p, debug.Stack())
		os.Exit(1)
	}
}

// NeverTwo makes a crash that no Guard sees, in a goroutine of a library or in
// Go's runtime, end the process by SIGABRT in place of exit code 2.
func NeverTwo() { debug.SetTraceback("crash") }

func report(w io.Writer, p any, stack []byte) {
	fmt.Fprintf(w, "torc: crashed by a mistake of its own: %v\n\n%s", p, stack)
}
