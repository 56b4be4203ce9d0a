// Package script reads and runs commands files, one command a line, over any
// table:
//
//	# four commands
//	PUT greeting, hello, world
//	GET greeting
//	SLEEP 250
//	DELETE greeting
//
// # The format
//
// Command words are read in any case. What follows the word, without the space
// around it, is the key of GET and DELETE, and the number of milliseconds of
// SLEEP. PUT splits it at the first comma: the key is before it, and the value,
// which may be empty or hold more commas, after it; the space around each does
// not count, that inside does. Space is blanks, tabs and carriage returns. A key
// or a value may hold any other bytes.
//
// Blank lines and lines that begin with # are skipped. Lines end in LF or CRLF,
// the last one may lack its end, and the first may begin with a byte order mark.
//
// [Parse] finds every wrong line of a file before any of it runs.
// [Runner.RunStream] runs each line as it comes, and reports a wrong one then.
//
// # What a run prints
//
// GET prints the value and a newline on standard output, and nothing when there
// is no entry. On a cache that includes an entry whose holder can't be reached.
// DELETE of a key that has no entry is no failure: the key is gone, as asked.
// Each command that fails prints one line on standard error that begins with
// the file's name and the line number, and the rest of the file still runs.
//
// # JSON
//
// With [Runner.JSON] each command prints one object on one line of standard
// output, in place of the value. What its fields are is said where those of all
// commands of torc are: torc help json, which is docs/cli/json.md.
package script
