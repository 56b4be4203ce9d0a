package shard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"time"

	"github.com/torc-dht/torc/shard/internal/link"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/slots"
)

// electWithin is how long a master may take to say that it leads, where there are
// others to ask.
const electWithin = time.Second

// Admin asks a table's master what a person wants to know, and has it do what a
// person decides. Set its fields, and don't change them once it is in use. Its
// methods are safe for concurrent use; each makes a connection of its own, and
// takes as long as its context lets it.
type Admin struct {
	// Masters are where a master listens, host:port: the one, or all of those of
	// which one leads.
	Masters []string
	// TLS, if not nil, is what connections are made with.
	TLS *tls.Config
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS goes
	// on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

// Location is where a key lies.
type Location struct {
	Slot int `json:"slot"`
	// Primary answers for the slot, host:port; "" while no server has had it.
	Primary string `json:"primary"`
	// Backups have all that the primary has, and are next if it dies.
	Backups []string `json:"backups"`
}

// Status is how a table stands, as its master sees it.
type Status struct {
	Epoch     string    `json:"epoch"` // of the newest map
	Since     time.Time `json:"since"` // when this master's term began
	Placement string    `json:"placement"`
	// Copies of each slot there shall be, all counted, and MinCopies there have
	// to be before a write is answered.
	Copies    int            `json:"copies"`
	MinCopies int            `json:"min_copies"`
	Slots     int            `json:"slots"`   // all there are
	Settled   bool           `json:"settled"` // everything is where it shall be
	Servers   []ServerStatus `json:"servers"` // in the order in which they joined
	Moves     []Move         `json:"moves"`
	// Single slots have one copy only. Held ones wait for servers that haven't
	// reported since this master began.
	Single int           `json:"single"`
	Held   int           `json:"held"`
	Failed []FailedSlots `json:"failed"`
}

// ServerState is how a server stands.
type ServerState string

// The states of servers.
const (
	ServerUp      ServerState = "up"
	ServerSilent  ServerState = "silent"  // too long to be given anything new
	ServerDead    ServerState = "dead"    // slots wait for it, or fail
	ServerLeaving ServerState = "leaving" // hands over what it has
	ServerUnheard ServerState = "unheard" // hasn't reported since this master began
)

// ServerStatus is one server of a Status.
type ServerStatus struct {
	Addr   string      `json:"addr"`
	Number int         `json:"number"` // servers that joined later have higher ones
	State  ServerState `json:"state"`
	Full   bool        `json:"full"` // its memory is used up
	Keys   uint64      `json:"keys"` // that it holds, copies and all
	Bytes  uint64      `json:"bytes"`
	Limit  uint64      `json:"limit"` // bytes that it may hold
	// Primaries are the slots that it answers for, Backups those that it is a
	// copy of, and Filling those that it is becoming one of.
	Primaries int `json:"primaries"`
	Backups   int `json:"backups"`
	Filling   int `json:"filling"`
}

// Move is what one server is sending to another.
type Move struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Slots int    `json:"slots"`
	Left  int    `json:"left"` // of the slots, not begun
	Keys  uint64 `json:"keys"` // sent so far
	Bytes uint64 `json:"bytes"`
	Rate  uint64 `json:"keys_per_second"`
}

// FailedSlots are slots that nobody can answer for until a dead server is back.
type FailedSlots struct {
	Addr  string `json:"addr"` // the server's
	Slots int    `json:"slots"`
}

// Locate asks where a key lies.
func (a *Admin) Locate(ctx context.Context, key string) (Location, error) {
	var at Location
	err := a.ask(ctx, func(c *link.Client) error {
		_, where, err := c.Where(ctx, key)
		if err == nil {
			at = locationOf(where)
		}
		return err
	})
	return at, err
}

// Status yields how the table stands, once or again at each interval, the shortest
// of which are 50 ms. An error is the last that it yields.
func (a *Admin) Status(ctx context.Context, interval time.Duration) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		err := a.ask(ctx, func(c *link.Client) error {
			for st, err := range c.Status(ctx, interval) {
				if err != nil {
					return err
				}
				if !yield(statusOf(st), nil) {
					return errEnough
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(Status{}, err)
		}
	}
}

// errEnough ends a sequence that its reader is done with.
var errEnough = errors.New("enough")

// Forget has the master give up the server at addr, which is dead for good: slots
// that only it had begin anew, empty. It is refused while that server may be alive.
func (a *Admin) Forget(ctx context.Context, addr string) error {
	return a.ask(ctx, func(c *link.Client) error { return c.Forget(ctx, addr) })
}

// Rebalance has the master spread the slots anew over the servers that are, and
// returns when that has begun.
func (a *Admin) Rebalance(ctx context.Context) error {
	return a.ask(ctx, func(c *link.Client) error { return c.Rebalance(ctx) })
}

// ask calls do with a client of the master that leads.
func (a *Admin) ask(ctx context.Context, do func(*link.Client) error) error {
	c, addr, err := a.leader(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return ofMaster(addr, do(c))
}

// leader returns a client of the master that leads: the only one there is,
// whether it leads or not, or the first of several to say anything but that it
// doesn't. They are asked all at once, since each may be one that is silent.
func (a *Admin) leader(ctx context.Context) (leader *link.Client, addr string, err error) {
	switch len(a.Masters) {
	case 0:
		return nil, "", errors.New("shard: no master is named")
	case 1:
		addr = a.Masters[0]
		leader, err = a.client(addr)
		return leader, addr, ofMaster(addr, err)
	}
	ctx, cancel := context.WithTimeout(ctx, electWithin)
	defer cancel()
	clients, failed := make([]*link.Client, len(a.Masters)), make(joined, len(a.Masters))
	answered := make(chan int)
	for i, addr := range a.Masters {
		go func() {
			c, err := a.client(addr)
			if err == nil {
				err = leads(ctx, c)
			}
			clients[i], failed[i] = c, ofMaster(addr, err)
			answered <- i
		}()
	}
	for range a.Masters {
		i := <-answered
		c := clients[i]
		switch {
		case failed[i] == nil && leader == nil:
			leader, addr = c, a.Masters[i]
			cancel()
		case c != nil:
			_ = c.Close() // it is of no use
		}
	}
	if leader == nil {
		return nil, "", failed
	}
	return leader, addr, nil
}

// client returns a client of one master.
func (a *Admin) client(addr string) (*link.Client, error) {
	return link.NewClient(addr, link.Options{TLS: a.TLS, Dialer: a.Dialer})
}

// leads says why a master doesn't lead, nil if it does.
func leads(ctx context.Context, c *link.Client) error {
	_, _, err := c.Where(ctx, "any key")
	for _, no := range []error{link.ErrRefused, link.ErrSilent, link.ErrForeign, link.ErrVersion, link.ErrDeclined, ctx.Err()} {
		if no != nil && errors.Is(err, no) {
			return err
		}
	}
	return nil // it may have no map yet
}

// ofMaster says of an error that it is one of the master's.
func ofMaster(addr string, err error) error {
	if err == nil || errors.Is(err, errEnough) {
		return err
	}
	return fmt.Errorf("the master at %w", err)
}

func locationOf(w *pb.Where) Location {
	at := Location{Slot: int(w.GetSlot()), Primary: w.GetPrimary().GetAddr(), Backups: []string{}}
	for _, b := range w.GetBackups() {
		at.Backups = append(at.Backups, b.GetAddr())
	}
	return at
}

var serverStates = map[pb.ServerState_State]ServerState{
	pb.ServerState_UP:      ServerUp,
	pb.ServerState_SILENT:  ServerSilent,
	pb.ServerState_DEAD:    ServerDead,
	pb.ServerState_LEAVING: ServerLeaving,
	pb.ServerState_UNHEARD: ServerUnheard,
}

func statusOf(st *pb.MasterStatus) Status {
	e := st.GetEpoch()
	s := Status{
		Epoch:     slots.Epoch{Term: e.GetTerm(), Counter: e.GetCounter()}.String(),
		Since:     time.Unix(0, st.GetSince()),
		Placement: st.GetPlacement(),
		Copies:    int(st.GetCopies()),
		MinCopies: int(st.GetMinCopies()),
		Slots:     slots.Count,
		Settled:   st.GetSettled(),
		Servers:   []ServerStatus{},
		Moves:     []Move{},
		Single:    int(st.GetSingle()),
		Held:      int(st.GetHeld()),
		Failed:    []FailedSlots{},
	}
	for _, v := range st.GetServers() {
		s.Servers = append(s.Servers, ServerStatus{
			Addr: v.GetAddr(), Number: int(v.GetNumber()), State: serverStates[v.GetState()], Full: v.GetFull(),
			Keys: v.GetKeys(), Bytes: v.GetBytes(), Limit: v.GetLimit(),
			Primaries: int(v.GetPrimaries()), Backups: int(v.GetBackups()), Filling: int(v.GetFilling()),
		})
	}
	for _, m := range st.GetMoves() {
		s.Moves = append(s.Moves, Move{
			From: m.GetFrom(), To: m.GetTo(), Slots: int(m.GetSlots()), Left: int(m.GetLeft()),
			Keys: m.GetKeys(), Bytes: m.GetBytes(), Rate: uint64(m.GetKeysPerSecond()),
		})
	}
	for _, f := range st.GetFailed() {
		s.Failed = append(s.Failed, FailedSlots{Addr: f.GetAddr(), Slots: int(f.GetSlots())})
	}
	return s
}
