// Package fence decides which values on the servers of a fleet may be stale.
//
// A server that was away holds what it held, and others took its keys meanwhile;
// nor is one that stayed always right: it may have been given a key for the time
// that another was away, and hold what it took then. So each value carries the
// version of the view that its writer knew, its [Stamp], and a [History] knows
// who was in each view that anybody wrote under. Who owned a key when is a
// function of the two: no key and no placement is written down anywhere.
//
// # What a write reaches
//
// A write under a view is answered once it has reached every owner of its key in
// that view, and once every former owner that is still announced has been made
// to forget the key. A server can be a former one since the last rebalance only:
// that left nothing surplus behind.
//
// # When a value counts
//
// A value that server A took under view w counts under view x if each recorded
// view after w, up to x, had A as an owner, or had A as an owner first and as a
// former one from then on. Any write that was answered meanwhile would have
// replaced or removed it.
//
// Not so if A was an owner, then a former one, and then an owner again. A write
// that nobody has finished (its caller died) may have reached the owner of the
// time between, been read there, and not have reached A; and that owner may be
// gone.
//
// # When none of the values counts
//
// Then [History.Decide] goes back through the views, as long as somebody's answer
// proves that nothing was written meanwhile:
//
//   - Whoever answers with a value took no later write, as long as he was an
//     owner: it would have replaced the value.
//   - Whoever answers that he has nothing took none either, if he kept his memory
//     and evicts nothing. [Check] relies on that, [Drop] doesn't.
//
// At the view where that leads to, a value that counts is the newest there is.
package fence
