package textform

import (
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

func TestRebalanced(t *testing.T) {
	t.Parallel()
	p := torc.Progress{Pass: 2, Looked: 10_000, Total: 20_000, Copied: 2513, Removed: 2489, Bytes: 251_300, Elapsed: 412 * time.Millisecond, Left: time.Second}
	if got, want := Rebalanced(p, false), "2,513 copied (251.3 kB), 2,489 removed, in 412 ms"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := Rebalanced(p, true), "2,513 would be copied (251.3 kB), 2,489 would be removed, in 412 ms"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s := RebalanceStep(torc.Progress{}); s != (terminal.Step{Note: "waits until all clients know the members"}) {
		t.Errorf("before the first pass RebalanceStep = %+v", s)
	}
	s := RebalanceStep(p)
	if s.Done != p.Looked || s.Total != p.Total || s.Bytes != p.Bytes || s.Left != p.Left || s.Note != "2,513 copied, 2,489 removed, once more to be sure" {
		t.Errorf("RebalanceStep = %+v", s)
	}
}
