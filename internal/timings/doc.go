// Package timings collects how long the faults of a test took to be got over, and
// makes a table of them: median and worst, beside what is allowed.
package timings
