// Package textform is how the commands and the shell write members, placements
// and progress for a person: once, so that they read the same wherever they
// come. Package jsonform is its like for programs.
package textform
