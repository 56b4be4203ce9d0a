// Package grpcdial makes gRPC connections that know why they failed: nobody listens,
// who listens says nothing, or is something else, and what. It is what the kinds with
// programs of their own have in common towards each other and towards people.
//
// Nothing is sent again, and no proxy asked: what is to be repeated, and when, is for
// who calls to say.
package grpcdial
