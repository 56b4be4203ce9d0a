package chord

// visits is how other goroutines get at what belongs to an event loop's: the loop
// runs what comes over calls, and closes over when it is no more.
type visits struct {
	calls chan func()
	over  chan struct{}
}

func newVisits() visits { return visits{calls: make(chan func(), 16), over: make(chan struct{})} }

// on runs f on the loop, and says whether it did.
func (v *visits) on(f func()) bool {
	done := make(chan struct{})
	select {
	case v.calls <- func() { defer close(done); f() }:
	case <-v.over:
		return false
	}
	select {
	case <-done:
		return true
	case <-v.over:
	}
	select {
	case <-done: // it was the last thing that the loop did
		return true
	default:
		return false
	}
}
