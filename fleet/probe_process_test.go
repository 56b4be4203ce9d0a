package fleet

import (
	"fmt"
	"testing"
	"time"
)

func TestProcessFollows(t *testing.T) {
	t.Parallel()
	read := func(stats ...string) (p process) {
		for _, s := range stats {
			p.learn(s)
		}
		return p
	}
	old := read("pid 7", "uptime 100", "time 1100", "version 1.6.18", "curr_items")
	for name, c := range map[string]struct {
		before, now process
		restarted   bool
	}{
		"the same, later":                     {old, read("pid 7", "uptime 160", "time 1160"), false},
		"its clocks don't tick together":      {old, read("pid 7", "uptime 158", "time 1160"), false},
		"another number":                      {old, read("pid 8", "uptime 100", "time 1100"), true},
		"the same number, started later":      {old, read("pid 7", "uptime 0", "time 1103"), true},
		"its clock was set":                   {old, read("pid 7", "uptime 160", "time 5160"), true},
		"it says nothing":                     {old, process{}, false},
		"it said nothing":                     {process{}, old, false},
		"only its number":                     {old, read("pid 7"), false},
		"only another number":                 {old, read("pid 9"), true},
		"numbers that are none":               {old, read("pid 7", "uptime x", "time -3"), false},
		"an age without a time says no start": {old, read("uptime 3"), false},
	} {
		if got := c.now.follows(c.before); got != c.restarted {
			t.Errorf("%s: restarted = %v", name, got)
		}
	}
}

// stats is a memcached that was started at the given time as the given process.
func stats(pid int, started time.Time) func(string) string {
	return func(command string) string {
		if command != "stats" {
			return "VERSION 1.6.18\r\n"
		}
		return fmt.Sprintf("STAT pid %d\r\nSTAT uptime %d\r\nSTAT time %d\r\nSTAT version 1.6.18\r\nEND\r\n", pid, int(time.Since(started).Seconds()), time.Now().Unix())
	}
}

// A server that was restarted so quickly that no connection was refused.
func TestProbeRestarted(t *testing.T) {
	probingAs(t, ProbeConfig{Restarts: true}, func(s *scripted, verdicts <-chan Verdict) {
		began := time.Now()
		s.set(false, stats(7, began))
		expect(t, verdicts, true, 200*time.Millisecond, "")
		for range 3 { // an idle connection closed, a connection that hung
			time.Sleep(5 * time.Second)
			s.drop()
		}
		time.Sleep(time.Second)
		if len(verdicts) > 0 {
			t.Errorf("verdict %+v without a restart", <-verdicts)
		}
		s.set(false, stats(8, time.Now()))
		s.drop()
		expect(t, verdicts, false, 0, "it was restarted")
		expect(t, verdicts, true, 200*time.Millisecond, "")
		time.Sleep(time.Minute)
		s.set(false, stats(8, time.Now())) // in a container
		s.drop()
		expect(t, verdicts, false, 0, "it was restarted")
		expect(t, verdicts, true, 200*time.Millisecond, "")
		s.kill()
		expect(t, verdicts, false, 0, "connection refused")
		s.set(false, stats(9, time.Now()))
		expect(t, verdicts, true, 300*time.Millisecond, "")
		time.Sleep(time.Second)
		if len(verdicts) > 0 {
			t.Errorf("verdict %+v: down twice for one restart", <-verdicts)
		}
	})
}

// One that is frozen while it says who it is is down as any other.
func TestProbeWithoutStats(t *testing.T) {
	for name, c := range map[string]struct {
		reply  string
		reason string
	}{
		"silent":    {"", "took longer than 200ms"},
		"hangs up":  {"hang up", "closed the connection"},
		"none":      {"ERROR\r\n", ""},
		"not so":    {"VERSION 1.6.18\r\n", ""},
		"but empty": {"END\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			probingAs(t, ProbeConfig{Restarts: true}, func(s *scripted, verdicts <-chan Verdict) {
				s.set(false, func(command string) string {
					if command == "stats" {
						return c.reply
					}
					return "VERSION 1.6.18\r\n"
				})
				expect(t, verdicts, c.reason == "", time.Second, c.reason)
				time.Sleep(3 * time.Second)
				s.drop()
				time.Sleep(3 * time.Second)
				if len(verdicts) > 0 {
					t.Errorf("another verdict, %+v", <-verdicts)
				}
			})
		})
	}
}
