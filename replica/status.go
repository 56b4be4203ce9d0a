package replica

import "time"

// Status is how a table stands as one of its servers sees it. It is the JSON of
// /status on a server's admin port, and of the answer to a client that asks for
// the members.
type Status struct {
	// Self is the address of the server that tells, and Servers are all there may
	// be, sorted: their rank.
	Self    string   `json:"self"`
	Servers []string `json:"servers"`
	// Epoch is the lineage that it belongs to; the zero Epoch: none yet.
	Epoch Epoch `json:"epoch"`
	// Degraded: answers bear the label, since Since. Otherwise Since is when the
	// epoch began or became normal.
	Degraded bool      `json:"degraded"`
	Since    time.Time `json:"since"`
	// Serving: it can answer clients.
	Serving bool `json:"serving"`
	// View is the number of the view, which grows by one with each change of who
	// has to have a write before it is answered.
	View    uint64         `json:"view"`
	Members []MemberStatus `json:"members"` // one for each of Servers
	// Leader orders the writes; "": the server that tells knows of none.
	Leader  string `json:"leader"`
	Term    uint64 `json:"term"`    // of the leader, within the epoch
	Applied uint64 `json:"applied"` // entries of the epoch's log
	Keys    uint64 `json:"keys"`
	Bytes   uint64 `json:"bytes"` // of keys and values, with what keeping them takes
	// Merged and Dropped count writes of degraded epochs that were given up for
	// this one: those that were taken over, and those that were not.
	Merged  uint64 `json:"merged"`
	Dropped uint64 `json:"dropped"`
	// Forgotten are servers that a person has given up, and that have not come back.
	Forgotten []string `json:"forgotten"`
}

// Epoch names a lineage. No two servers ever found epochs of one number; the founder,
// a random number in hexadecimal, tells one server's lives apart.
type Epoch struct {
	Number  uint64 `json:"number"`
	Founder string `json:"founder"`
}

// MemberState is how a server stands in the eyes of another.
type MemberState string

// The states of servers.
const (
	MemberLeader   MemberState = "leader"   // orders the writes
	MemberFollower MemberState = "follower" // has every answered write, and a vote
	MemberLearner  MemberState = "learner"  // has every answered write, and no vote
	MemberJoining  MemberState = "joining"  // is there, and is being brought up to date
	MemberDown     MemberState = "down"     // gives no sign
)

// MemberStatus is one server of a Status.
type MemberStatus struct {
	Addr  string      `json:"addr"`
	State MemberState `json:"state"`
	// Lag is how many entries of the log it lacks; only the leader knows.
	Lag uint64 `json:"lag"`
	// Heard is how many seconds ago the server that tells heard it last; -1: never, or the
	// process that it heard is dead.
	Heard float64 `json:"heard"`
}
