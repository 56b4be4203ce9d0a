package main

import (
	"os"
	"sync"
)

// output is standard output, and remembers that it could not be written, so that
// whatever a command prints, its exit code is not 0 if part of that was lost.
type output struct {
	file *os.File

	mu struct {
		sync.Mutex
		err error // the first
	}
}

// Write is for concurrent use.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if err != nil {
		o.mu.Lock()
		if o.mu.err == nil {
			o.mu.err = err
		}
		o.mu.Unlock()
	}
	return n, err
}

// Fd is the file's, by which it is seen whether this is a terminal.
func (o *output) Fd() uintptr { return o.file.Fd() }

// lost returns why something that was written did not get out.
func (o *output) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.err
}
