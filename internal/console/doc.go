// Package console is a pseudo-terminal for tests: a program at it, and a person
// who types and reads.
package console
