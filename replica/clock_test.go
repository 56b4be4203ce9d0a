package replica

import (
	"testing"
	"time"
)

func TestClockKnowsOfSleepOnceItIsAdjusted(t *testing.T) {
	t.Parallel()
	var c clock
	c.adjust()
	if c.asleep < 0 {
		t.Errorf("the machine slept for %v", c.asleep)
	}
	before := c.now()
	c.asleep += time.Hour
	if got := c.now() - before; got < time.Hour {
		t.Errorf("after an hour asleep the clock went on by %v", got)
	}
	c.adjust()
	if got := c.now() - before; got < time.Hour {
		t.Errorf("the clock went back to %v", got)
	}
}
