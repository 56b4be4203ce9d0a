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
// to forget the key. A former one ([History.Formers]) is one that owned the key
// since the last rebalance, which left nothing surplus behind; or before, if it
// was away then.
//
// In which order depends on what the fleet has agreed on ([Rejoin]). Under Check
// the owners come first: a former one that has forgotten is taken for a proof
// that nothing was written there, while an owner may still have what is stale.
// Under Drop the former ones come first, so that none ever holds an older value
// than one that somebody has read from an owner.
//
// # When a value counts
//
// A value that server A took under view w counts now if A was an owner in each
// recorded view after w; or was one up to some view and then a former one, who
// was announced, up to now. Any write that was answered meanwhile would have
// replaced or removed it. Views with nobody in use are passed over: nobody can
// have written under them.
//
// Not so if A was an owner, then a former one, and then an owner again. A write
// that nobody has finished (its caller died) may have reached the owner of the
// time between, been read there, and not have reached A; and that owner may be
// gone. For the same reason a former owner's value counts only where an owner has
// been asked and had none, and under Check with one copy only if that same owner
// was the owner ever since, and kept its memory.
//
// # When none of the values counts
//
// Then [History.Decide] goes back through the views, as long as somebody's answer
// proves that nothing was written meanwhile:
//
//   - Whoever answers with a value took no later write, as long as he was an
//     owner: it would have replaced the value.
//   - Whoever answers that he has nothing took none either, if he has been in the
//     fleet without a break since and evicts nothing. [Check] relies on that,
//     [Drop] doesn't.
//
// At the view where that leads to, a value that counts is the newest there is.
//
// What is deleted or expires while a server is away leaves a mark for [Linger],
// or its server's having nothing would prove the wrong thing ([History.Away]).
package fence
