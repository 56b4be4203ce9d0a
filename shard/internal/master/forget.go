package master

import (
	"fmt"
	"strings"
	"time"

	"github.com/torc-dht/torc/shard/slots"
)

// Forget gives up the server at an address, and with it whatever only it has (R4).
// Who answers there, 0 for nobody, is alive, whether this master hears it or not. An
// error is a sentence for a person, who has to do something else or wait.
func (m *Master) Forget(now int64, addr string, answers slots.Boot) error {
	m.begin(now)
	defer m.end()
	m.age()
	if m.isDeposed() {
		return fmt.Errorf("another master was elected: ask that one")
	}
	if m.newest == nil {
		return fmt.Errorf("the master doesn't know the map yet: try again in a second")
	}
	var lost []*member
	var alive, all []string
	for i := range m.newest.Servers {
		v := m.byBoot[m.newest.Servers[i].Boot]
		all = append(all, v.addr)
		switch {
		case v.addr != addr:
		case v.boot == answers:
			alive = append(alive, "it answers there")
		case v.vitality == dead || !v.heard && v.conn == 0:
			lost = append(lost, v)
		default:
			alive = append(alive, fmt.Sprintf("heard %v ago", time.Duration(now-v.last).Round(10*time.Millisecond)))
		}
	}
	switch {
	case len(lost) == 0 && len(alive) > 0:
		return fmt.Errorf("%s is alive (%s): stop it with SIGTERM, and it hands over what it has", addr, alive[0])
	case len(lost) == 0 && len(all) == 0:
		return fmt.Errorf("there is no server at %s, nor any other", addr)
	case len(lost) == 0:
		return fmt.Errorf("there is no server at %s; those in the map are %s", addr, strings.Join(all, ", "))
	}
	for _, v := range lost {
		if left := m.promiseLeft(v); left > 0 {
			return fmt.Errorf("%s may still answer for its slots for %v: try again then", addr, time.Duration(left).Round(time.Millisecond))
		}
	}
	for _, v := range lost {
		v.forgotten = true
	}
	m.atOnce()
	return nil
}

// promiseLeft is how long it may be until the last promise to a server is over: of
// this master, or of an earlier one.
func (m *Master) promiseLeft(v *member) int64 {
	if v.replaced {
		return 0
	}
	since := m.began
	if v.promise != 0 {
		since = v.promise
	}
	return since + int64(m.cfg.Lease+leaseMargin) - m.now
}

// waitsFor are the slots of a map that are held or failed because of a server.
func waitsFor(on *slots.Map, server int16, unheard bool) (n int) {
	for s := range on.Rows {
		r := &on.Rows[s]
		if r.Primary == server {
			n++
		} else if _, ok := r.Copy(server); ok && unheard && r.Held != 0 {
			n++
		}
	}
	return n
}
