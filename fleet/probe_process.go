package fleet

import (
	"strconv"
	"strings"
	"time"
)

// process is which process answers at an address, as it says itself: a server
// that was restarted has lost what it held, however quickly it was back.
type process struct {
	pid          string
	time, uptime int64 // seconds; -1, and 0 in the zero value, where it doesn't say
}

// learn takes in one line of a server's stats, "pid 4711".
func (p *process) learn(stat string) {
	name, value, _ := strings.Cut(stat, " ")
	number := func() int64 {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return -1
		}
		return n
	}
	switch name {
	case "pid":
		p.pid = value
	case "time":
		p.time = number()
	case "uptime":
		p.uptime = number()
	}
}

// started is when the process was started, by its machine's clock.
func (p process) started() (at time.Time, told bool) {
	if p.time <= 0 || p.uptime < 0 {
		return time.Time{}, false
	}
	return time.Unix(p.time-p.uptime, 0), true
}

// startTolerance is how far two statements of when a process was started may be
// apart: time and uptime need not tick together.
const startTolerance = 2 * time.Second

// follows says whether p is certainly another process than the one before. (In
// a container each may have the number 1.)
func (p process) follows(before process) bool {
	if p.pid != "" && before.pid != "" && p.pid != before.pid {
		return true
	}
	now, told := p.started()
	then, toldBefore := before.started()
	return told && toldBefore && now.Sub(then).Abs() > startTolerance
}
