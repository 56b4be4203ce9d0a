// Package lint holds the tree to its design. Its test fails when a package
// imports what stands above it, when a protocol core does I/O or looks at a
// clock, and when a file breaks one of the habits of the house.
//
// What changes with the design is data: the picture of who may import whom in
// layers.go, and the list of cores in cores.go. The rules look at the source
// alone, of all platforms and build tags at once.
package lint
