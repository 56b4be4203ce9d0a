package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

// rig is some servers that the test is the master of. Messages between them
// arrive at once, unless a link is cut; the clock moves when the test says so.
type rig struct {
	t       *testing.T
	now     server.Time
	servers []*server.Server
	toMe    [][]msg.Message // to the master, by server
	cut     map[[2]int]bool
	// late are links over which batches are on their way until the test takes them
	// from underWay.
	late     map[[2]int]bool
	underWay []msg.Message
	dead     map[int]bool
	mute     bool // the master grants nothing
	m        *slots.Map
}

const bootOf = slots.Boot(100)

// patient is how long calls wait here, so that a test may see them do so.
const patient = 3 * time.Second

func newRig(t *testing.T, n, copies int) *rig {
	r := &rig{
		t: t, now: server.Time{Mono: int64(time.Hour), Wall: int64(1e18)},
		cut: make(map[[2]int]bool), dead: make(map[int]bool),
		m: slots.Empty(slots.Minimal, copies, 1), toMe: make([][]msg.Message, n),
	}
	r.m.Epoch = slots.Epoch{Term: 1, Boot: 7}
	for i := range n {
		boot := bootOf + slots.Boot(i)
		r.servers = append(r.servers, server.New(server.Config{Addr: fmt.Sprintf("10.0.0.%d:1", i), Boot: boot, Limit: 1 << 20, Wait: patient}))
		r.m.Servers = append(r.m.Servers, slots.Server{Addr: fmt.Sprintf("10.0.0.%d:1", i), Boot: boot, Number: uint32(i + 1)})
	}
	for _, s := range r.servers {
		s.Connected(r.now, server.Master)
		s.Receive(r.now, server.Master, &msg.Prepare{Term: 1, Boot: 7})
	}
	return r
}

// issue makes a map out of the present one and gives it to everyone, or to those
// named.
func (r *rig) issue(change func(m *slots.Map), to ...int) {
	r.t.Helper()
	m := r.m.Clone()
	m.Epoch.Counter++
	change(m)
	r.m = m
	if len(to) == 0 {
		for i := range r.servers {
			to = append(to, i)
		}
	}
	for _, i := range to {
		r.servers[i].Receive(r.now, server.Master, &msg.MapUpdate{Map: m})
	}
	for i, s := range r.servers {
		for j := range r.servers {
			if i != j && !r.dead[i] && !r.dead[j] {
				s.Connected(r.now, bootOf+slots.Boot(j))
			}
		}
	}
	r.settle()
}

// settle delivers messages until there are none.
func (r *rig) settle() {
	for busy := true; busy; {
		busy = false
		for i, s := range r.servers {
			if r.dead[i] {
				continue
			}
			for s.Pump(r.now) {
			}
			s.Flush(r.now)
			for _, o := range s.Out() {
				busy = true
				if o.To == server.Master {
					r.toMe[i] = append(r.toMe[i], o.Message)
					if b, ok := o.Message.(*msg.Beat); ok && !r.mute {
						s.Receive(r.now, server.Master, &msg.Granted{Sent: b.Sent, Epoch: r.m.Epoch})
					}
					continue
				}
				j := int(o.To - bootOf)
				if r.late[[2]int{i, j}] {
					r.underWay = append(r.underWay, o.Message)
				}
				if !r.dead[j] && !r.cut[[2]int{i, j}] {
					r.servers[j].Receive(r.now, bootOf+slots.Boot(i), o.Message)
				}
			}
		}
	}
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	for end := r.now.Mono + int64(d); r.now.Mono < end; {
		step := min(end-r.now.Mono, int64(20*time.Millisecond))
		r.now.Mono += step
		r.now.Wall += step
		for i, s := range r.servers {
			if !r.dead[i] {
				s.Tick(r.now)
			}
		}
		r.settle()
	}
}

// request is a call, and what came of it.
type request struct {
	call   server.Call
	value  []byte // to be written, if not nil
	absent bool   // only where there is nothing
	got    string
	done   bool
}

func (q *request) Execute(s *server.Server) uint8 {
	const refused = 1
	key := q.call.Keys[0]
	if q.value == nil {
		it, ok := s.Get(key)
		if q.got = string(it.Value); !ok {
			q.got = "(none)"
		}
		return refused
	}
	q.got = "done"
	if _, err := s.Update(key, func(it *store.Item, found bool) store.Action {
		if found && q.absent {
			q.got = "exists"
			return store.Keep
		}
		if it.Value = q.value; len(q.value) == 0 {
			return store.Remove
		}
		return store.Write
	}); err != nil {
		q.got = err.Error()
	}
	return refused
}

func (q *request) Repeat(_ uint64, refusal uint8) {
	if q.got = "done before"; refusal > 0 {
		q.got = "refused before"
	}
}

func (q *request) Fail(f server.Failure) {
	q.got = [...]string{"moved", "lost", "unavailable", "unknown", "answered"}[f.Kind]
	if f.Kind == server.Moved {
		q.got += " " + f.Addr
	}
}

// do makes a call and delivers what can be; q.got is "" while it isn't done.
func (r *rig) do(at int, key, value string, op msg.Op) *request {
	q := &request{}
	if value != "" {
		q.value = []byte(value)
	}
	q.call = server.Call{Keys: [][]byte{[]byte(key)}, Op: op, Exec: q}
	r.servers[at].Do(r.now, &q.call)
	r.settle()
	r.reap()
	return q
}

// remove makes a call that removes a key.
func (r *rig) remove(at int, key string) *request {
	q := &request{value: []byte{}}
	q.call = server.Call{Keys: [][]byte{[]byte(key)}, Exec: q}
	r.servers[at].Do(r.now, &q.call)
	r.settle()
	return q
}

func (r *rig) reap() {
	for _, s := range r.servers {
		for _, c := range s.Done() {
			q := c.Exec.(*request)
			if q.done {
				r.t.Errorf("%s: the same call is done twice", c.Keys[0])
			}
			q.done = true
		}
	}
}

func (r *rig) want(q *request, got string) {
	r.t.Helper()
	r.reap()
	is := q.got
	if !q.done {
		is = ""
	}
	if is != got {
		r.t.Errorf("%s: got %q, want %q", q.call.Keys[0], is, got)
	}
}

func (r *rig) get(at int, key, want string) {
	r.t.Helper()
	r.want(r.do(at, key, "", msg.Op{}), want)
}

func (r *rig) put(at int, key, value string) {
	r.t.Helper()
	r.want(r.do(at, key, value, msg.Op{}), "done")
}

// told is how many messages like m the master has had from a server since it was
// asked last.
func told[M msg.Message](r *rig, from int) (all []M) {
	rest := r.toMe[from][:0]
	for _, m := range r.toMe[from] {
		if is, ok := m.(M); ok {
			all = append(all, is)
		} else {
			rest = append(rest, m)
		}
	}
	r.toMe[from] = rest
	return all
}

// fresh makes server 0 the primary of everything.
func (r *rig) fresh() {
	r.issue(func(m *slots.Map) {
		for i := range m.Rows {
			m.Rows[i].Primary, m.Rows[i].Fresh = 0, true
		}
	})
}

// row changes every row.
func (r *rig) rows(change func(*slots.Row), to ...int) {
	r.t.Helper()
	r.issue(func(m *slots.Map) {
		for i := range m.Rows {
			change(&m.Rows[i])
		}
	}, to...)
}

// joined makes server i an InSync copy of all of server 0's slots.
func (r *rig) joined(i int16) {
	r.t.Helper()
	told[*msg.Filled](r, 0)
	r.rows(func(row *slots.Row) { row.Set(i, slots.Filling) })
	if f := told[*msg.Filled](r, 0); len(f) == 0 || f[len(f)-1].Epoch != r.m.Epoch {
		r.t.Fatalf("after the fill the master was told %v", f)
	}
	r.rows(func(row *slots.Row) { row.Set(i, slots.Joining) })
	told[*msg.Beat](r, 0)
	r.pass(300 * time.Millisecond)
	if b := told[*msg.Beat](r, 0); len(b) == 0 || b[len(b)-1].Acked != r.m.Epoch {
		r.t.Fatalf("the epoch was not acknowledged: %v", b)
	}
	r.rows(func(row *slots.Row) { row.Set(i, slots.InSync) })
}
