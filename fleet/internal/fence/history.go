package fence

import "time"

// Config is the placement that all views of a history have in common.
type Config struct {
	Hash   string // one of ring.Kinds
	VNodes int
	Copies int
}

// Member is one server that is announced in a view.
type Member struct {
	Addr   string
	Weight uint32
	Name   string
	// Incarnation tells one stay of a server from the next.
	Incarnation string
	// Drained: it is announced and can be asked, but owns nothing.
	Drained bool
}

// View is who was announced at one version, sorted by address.
type View struct {
	Version  uint64
	Recorded time.Time
	Members  []Member
}
