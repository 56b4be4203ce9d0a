// Package crash keeps torc's promise about exit codes when torc itself goes
// wrong: Go's own exit code for a panic is 2, which for torc's programs means
// that there is no such key.
package crash
