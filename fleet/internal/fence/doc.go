// Package fence decides which values on the servers of a fleet may be stale.
//
// A server that was away holds what it held, and others took its keys meanwhile;
// nor is one that stayed always right. So each value carries the version of the
// view that its writer knew, its [Stamp], and a [History] knows who was in each
// view that anybody wrote under. Who owned a key when is a function of the two:
// no key and no placement is written down anywhere.
package fence
