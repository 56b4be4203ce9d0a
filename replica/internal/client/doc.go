// Package client asks the servers of a replica table: any of them, over HTTP, with
// the headers that let a request be sent twice and carried out once.
//
//	Do ──► plan       which host next, and when: pure
//	        │
//	        ▼
//	       host       in order or failing; its idle connections
//	        │
//	        ▼
//	       conn       one request at a time; a goroutine reads the answers
//
// A request goes to one host. To another it goes, too, at once when that one
// refuses, breaks off or can't serve, and after a while when it is silent; whoever
// answers first has answered. A write bears the client's number for it, by which
// the servers know it again, so all this is as good for writes as for reads.
//
// A host that has failed is left alone, as long as there are others, until it
// answers a question that the client asks on its own. So is one whose answers bear
// the label of a degraded epoch while those of another one don't.
package client
