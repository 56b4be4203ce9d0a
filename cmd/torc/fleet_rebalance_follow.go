package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/internal/textform"
)

const (
	// settleTime is how long members have to stay as they are before entries
	// move: servers that are started together come within a moment, and what is
	// begun again for each of them costs more than it brings.
	settleTime = time.Second
	// A rebalance that failed is tried again after settleTime, then twice that,
	// and so on up to this.
	longestPause = time.Minute
)

// follow rebalances at once and after each change of the members, until ctx is
// done or the members can't be followed any more. If ctx ends a rebalance, the
// error is ctx's; if it ends the waiting for one, there is none.
func (r *rebalancing) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	views, ended := make(chan torc.View), make(chan error, 1)
	go func() {
		defer crash.Guard()
		ended <- r.pass(ctx, views)
	}()
	var now, balanced torc.View // balanced is the view under which all is done
	var due <-chan time.Time
	pause := settleTime
	for {
		select {
		case err := <-ended:
			return err
		case now = <-views:
			switch {
			case !now.LostContact.IsZero():
				due = nil // nobody knows who the members are
			case sameView(now, balanced):
				due = nil
			default:
				pause = settleTime
				due = time.After(pause)
			}
		case <-due:
			due = nil
			done, err := r.rebalance(ctx)
			told := r.tell(done, err,
				fmt.Sprintf("%s  view %d: ", r.style.Dim(textform.Clock(time.Now())), now.Version), rebalanceJSON{Version: now.Version})
			switch {
			case err == nil && told != nil: // nobody listens any more
				return told
			case err == nil:
				balanced, pause = now, settleTime
			case ctx.Err() != nil:
				cancel()
				<-ended //nolint:errcheck // the context tells why
				return context.Cause(ctx)
			default:
				pause = min(2*pause, longestPause)
				r.say(fmt.Sprintf("failed, and is tried again in %v: %s", pause, oneLine(err)))
				due = time.After(pause)
			}
		}
	}
}

// pass passes on each view of the table until ctx is done. It closes nothing, and
// the error is why it went no further.
func (r *rebalancing) pass(ctx context.Context, views chan<- torc.View) error {
	for v, err := range r.table.Members(ctx) {
		if err != nil {
			return err
		}
		select {
		case views <- v:
		case <-ctx.Done():
			return nil
		}
	}
	if ctx.Err() == nil {
		return errors.New("the table tells no more of its members")
	}
	return nil
}

// sameView says whether a and b are one view, in touch or not.
func sameView(a, b torc.View) bool { return a.Generation == b.Generation && a.Version == b.Version }
