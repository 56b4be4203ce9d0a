// Package terminal makes output that a person enjoys at a terminal and that
// stays plain everywhere else.
//
// Colour and bars appear only where a [Style] says so: the stream is a
// terminal, TERM is not "dumb", NO_COLOR is not set, and nobody asked for plain
// output. A program therefore formats its lines once, and what a pipe, a log or
// a test gets of them holds no escape sequence and no drawing. A [Progress] is a
// bar where the style is rich, and a line now and then where it is plain.
package terminal
