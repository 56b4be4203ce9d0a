// Package chord makes the figures of docs/chord.md, an SVG and a CSV each.
//
//	err := chord.Paper(ctx, "docs/chord", progress)             // the papers', by chord/ringsim
//	err := chord.Required(ctx, "docs/chord", nodes, progress)   // the requirement's, by processes
//
// Paper repeats the experiments of Stoica et al. (SIGCOMM 2001, section 6; ToN 2003,
// section V) with torc's own protocol in virtual time, and puts their numbers beside
// ours. Its seeds are fixed: it finds the same each time.
//
// Required measures lookup time, addition time and the time of recovery from a failure
// over the number of replicas, in rings of processes on this machine. What else the
// machine does shows in these.
package chord
