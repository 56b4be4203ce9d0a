// Package shell is an interactive shell over any table: a person puts, gets,
// looks who holds what, adds and removes members and watches the entries move.
//
//	torc> add 127.0.0.1:11214
//	127.0.0.1:11214 added: 7,488 copied (748.8 kB), 7,431 removed, in 310 ms
//	torc> put greeting "hello, world"
//	torc> get greeting
//	hello, world
//
// It knows package torc alone. What a kind of table can do beyond torc.Table
// (torc.Roster, torc.Rebalancer, torc.Surveyor, torc.Ranger) its commands find
// out, and of what it can't do they say so.
//
// # Lines
//
// A line is a command and its arguments, apart by blanks. What holds blanks is
// put in quotes: between single quotes everything stands for itself, between
// double quotes the escapes of Go's strings hold (\n, \t, \", \\, \x00). Command
// words are read in any case. Blank lines and lines that begin with # are
// skipped.
//
// # Terminals and pipes
//
// Where the lines come from is an [Input]. An [Editor] is one for a terminal,
// with history and completion; Ctrl-C ends the command that runs, or gives up
// the line that is typed, and Ctrl-D ends the shell. A [Stream] is one for
// pipes and files: nothing is asked there, and standard output gets data alone.
//
// What is not done is one line on standard error, in a stream with its place.
// [Shell.Run] counts those lines, and the keys that were not there.
package shell
