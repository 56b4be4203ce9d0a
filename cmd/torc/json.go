package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
)

// The objects that the commands print with --json. What their fields mean is in
// jsonObjects.
type (
	getJSON struct {
		jsonform.Key
		jsonform.Value
		Version string `json:"version"`
	}
	putJSON struct {
		jsonform.Key
		Bytes int `json:"bytes"`
	}
	deleteJSON struct {
		jsonform.Key
		Deleted bool `json:"deleted"`
	}
	locateJSON struct {
		jsonform.Key
		torc.Placement
	}
	viewJSON struct {
		Time time.Time `json:"time"` // when this process had the view
		torc.View
	}
	versionJSON struct {
		Version string `json:"version"`
		Go      string `json:"go"`
		OS      string `json:"os"`
		Arch    string `json:"arch"`
	}
)

// jsonFlag gives cmd the flag --json.
func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON objects, one a line (their fields: torc help json)")
}

// field is a field of JSON objects, and what it means.
type field struct{ name, meaning string }

// jsonObjects are the fields of each command's objects. "key" and "value" stand
// for their _base64 too.
var jsonObjects = []struct {
	what   string // commands, or the field whose elements these are
	fields []field
}{
	{"get", []field{
		{"key", "the key"},
		{"value", "the value at it"},
		{"version", "of the entry, as put --if-version takes it"},
	}},
	{"put", []field{
		{"key", "the key"},
		{"bytes", "the length of the value stored"},
	}},
	{"delete", []field{
		{"key", "the key"},
		{"deleted", "true"},
	}},
	{"run, fleet-client: an object a command", []field{
		{"line", "the number of its line in the file, from 1"},
		{"op", `"get", "put", "delete" or "sleep"; "" for a line that is no command`},
		{"key", "the key, where there is one"},
		{"value", "the value that GET read"},
		{"version", "of the entry that GET read"},
		{"outcome", `"done"; "missing": GET or DELETE found no entry; "unknown":`},
		{"", `the write may or may not have happened; "failed": nothing was done`},
		{"reason", "why the outcome is unknown or failed, or why the entry is"},
		{"", "taken to be missing if that is not simply so"},
		{"owner", "the member that failed, or else the key's first owner"},
		{"seconds", "how long it took"},
	}},
	{"shell, dht-shell: an object a command", []field{
		{"line", "the number of its line, from 1; left out on a terminal"},
		{"command", `its name; "" for a line that is no command`},
		{"outcome", `as above; but put may find its key missing too, and what`},
		{"", "failed may be done in part"},
		{"reason", "why the outcome is not done"},
		{"seconds", "how long it took"},
		{"key", "of put, get, delete, locate: the key"},
		{"value", "of get: the value"},
		{"bytes", "of put: the length of the value; of fill: of all values"},
		{"pairs", "of fill: how many were put"},
		{"keys", "of keys: an object for each, which holds its key"},
		{"addr", "of add, remove: the node"},
		{"rebalance", "of add, remove, rebalance: what was moved, see below"},
		{"owners, hops", "of locate: see locate"},
		{"members", "of nodes: see members; of stats: see below"},
		{"placement", "of stats: the rule by which keys are placed"},
		{"copies", "of stats: of each entry, all counted"},
		{"vnodes", "of stats: virtual nodes of a node of weight 1, or 0"},
		{"version", "of get: of the entry; of locate, nodes, stats: of the view"},
		{"generation", "of locate, nodes: of the view"},
	}},
	{"fleet rebalance: an object a rebalance", []field{
		{"time", "when it ended"},
		{"version", "of the view, with --follow"},
		{"dry_run", "true if nothing was changed; else left out"},
		{"error", "why more is to be done; else left out"},
		{"pass, looked, copied", "see below"},
		{"removed, bytes, seconds", "see below"},
	}},
	{"what was moved", []field{
		{"pass", "how many walks over all nodes it took"},
		{"looked", "entries looked at in the last of them, each copy counted"},
		{"copied, removed", "copies that were made, and surplus ones that were removed"},
		{"bytes", "of the values that were copied"},
		{"seconds", "how long it took"},
	}},
	{"replica status: an object a server", []field{
		{"time", "when it was asked"},
		{"self", "its HOST:PORT"},
		{"error", "why it told nothing; else left out"},
		{"servers", "all of the table, sorted"},
		{"epoch", "its number, and its founder: two may have one number"},
		{"degraded", "true while answers are labelled"},
		{"since", "when the epoch began or became normal"},
		{"serving", "whether this server answers clients"},
		{"view", "grows with each change of who takes part"},
		{"members", "see below"},
		{"leader", `HOST:PORT; "": none is known`},
		{"term", "the leader's, within the epoch"},
		{"applied", "entries of the epoch's log"},
		{"keys, bytes", "that the table holds"},
		{"merged, dropped", "writes of degraded epochs that were given up: taken over, or"},
		{"", "not"},
		{"forgotten", "servers that a person gave up, and that have not come back"},
	}},
	{"each of the members of replica status", []field{
		{"addr", "HOST:PORT"},
		{"state", `"leader", "follower", "learner", "joining" or "down"`},
		{"lag", "entries of the log that it lacks, as the leader knows"},
		{"heard", "seconds ago; -1: never, or the process that was heard is dead"},
	}},
	{"shard status", []field{
		{"time", "when it was asked"},
		{"epoch", "of the newest map"},
		{"since", "when the master's term began"},
		{"placement", "of the slots"},
		{"copies, min_copies", "of each slot: that there shall be, and that a write needs"},
		{"slots", "how many there are"},
		{"settled", "whether everything is where it shall be"},
		{"servers", "see below, in the order in which they joined"},
		{"moves", "see below"},
		{"single", "how many slots have one copy only"},
		{"held", "how many wait for servers that the master hasn't heard yet"},
		{"failed", "the servers that slots wait for: addr, and how many slots"},
	}},
	{"each of the servers of shard status", []field{
		{"addr", "HOST:PORT"},
		{"number", "grows in the order in which servers joined"},
		{"state", `"up", "silent", "dead", "leaving", or "unheard" by this`},
		{"", "master so far"},
		{"full", "whether its memory is used up"},
		{"keys, bytes", "that it holds, copies too"},
		{"limit", "how many bytes it may hold"},
		{"primaries, backups", "slots that it answers for, and has a copy of"},
		{"filling", "slots of which it gets a copy"},
	}},
	{"each of the moves of shard status", []field{
		{"from, to", "the servers"},
		{"slots, left", "in all, and not yet begun"},
		{"keys, bytes", "sent so far"},
		{"keys_per_second", "at the moment"},
	}},
	{"shard rebalance", []field{
		{"time", "when all was settled"},
		{"slots, keys, bytes", "that were moved, as far as was seen"},
		{"seconds", "how long it took"},
	}},
	{"chord ring", []field{
		{"time", "when all had been asked"},
		{"ring", "names the ring"},
		{"bits", "n: it has 2^n places"},
		{"replicas", "nodes besides its owner that hold each pair"},
		{"nodes", "those that answer, in order: see chord status"},
		{"missing", "those that others name, and that don't: see below"},
	}},
	{"each of the missing of chord ring", []field{
		{"id, addr", "the node"},
		{"suspected_by", "identifiers of nodes that know that it is silent"},
		{"listed_by", "of nodes that take it for a neighbour or a finger"},
		{"reason", "why it is taken to be missing"},
	}},
	{"chord status", []field{
		{"time", "when it was asked; left out within chord ring"},
		{"id, addr", "the node: its identifier in decimal, HOST:PORT"},
		{"ring, bits, replicas", "see chord ring"},
		{"max_value", "the longest value in bytes"},
		{"joined", "whether it is part of the ring"},
		{"predecessor", "id and addr; null while it isn't known"},
		{"successors", "the list, the next one first"},
		{"fingers", "see below; one that is the same as the one before"},
		{"", "it is left out"},
		{"suspects", "nodes that don't answer it"},
		{"lost", "nodes that it remembers and asks after"},
		{"owns", "places: from, which is not among them, and to"},
		{"term", "of its claim on them"},
		{"serving", "whether it answers for them"},
		{"holders", "id and addr of who has copies, and whether complete"},
		{"whole", "whether there are as many copies as there shall be"},
		{"backs", "places that it has copies of: from, to, owner, complete"},
		{"keys", "that it owns"},
		{"held, bytes", "all that it has, copies for others as well"},
		{"limit", "of bytes; 0: none"},
		{"take_overs, hand_offs", "of places, since it started"},
		{"taken_empty", "of those taken over, the ones that nobody had"},
		{"overwritten", "entries that lost against later ones when rings met"},
	}},
	{"each of the fingers of chord status", []field{
		{"k", "its number, from 0"},
		{"start", "the node's place + 2^k"},
		{"node", "id and addr of the first node there or after"},
	}},
	{"chord lookup", []field{
		{"time", "when it was found"},
		{"key", "the key"},
		{"hash", "its place, in decimal"},
		{"owner", "id and addr of the node"},
		{"owns", "what it owns around that place: from, to"},
		{"hops", "nodes that were asked, in order: see below"},
		{"seconds", "how long it took"},
	}},
	{"each of the hops of chord lookup", []field{
		{"id, addr", "the node"},
		{"silent", "whether it did not answer"},
		{"seconds", "how long it took, or was waited for"},
	}},
	{"each of the members of stats", []field{
		{"addr, weight", "see below"},
		{"state, since, reason", "see below"},
		{"entries, bytes", "that it holds"},
		{"share", "of all keys: those whose first holder it is"},
		{"error", "why it could not be asked; else left out"},
	}},
	{"locate", []field{
		{"key", "the key"},
		{"owners", "who holds it, in the order in which they are asked"},
		{"hops", "how many members had to be asked to find that out"},
		{"generation, version", "of the view that says so"},
	}},
	{"members; watch: an object a view", []field{
		{"time", "when it was seen"},
		{"generation", "tells two histories of one table apart"},
		{"version", "of the view: grows with each change, within a generation"},
		{"members", "all of them, by address"},
		{"lost_contact", "since when this is but the last view known; else left out"},
	}},
	{"each of members and owners", []field{
		{"addr", "HOST:PORT"},
		{"weight", "its share of the keys, against the others' weights"},
		{"state", `"up", "down" or "drained"`},
		{"since", "when this process first saw it so"},
		{"reason", "why it is not up; else left out"},
	}},
	{"version", []field{
		{"version, go, os, arch", "of this binary"},
	}},
}

// jsonText is the help topic json.
func jsonText() string {
	text := `With --json a command prints what it has to say as JSON objects, one a line, on
standard output. What goes wrong is one line on standard error all the same, and
the exit codes are what they are.

Keys and values are any bytes, and JSON's strings are UTF-8: where a key or a
value isn't, key_base64 or value_base64 takes the place of key or value. Times
are RFC 3339. Later versions of torc may add fields; these stay what they are.
`
	for _, o := range jsonObjects {
		var table terminal.Table
		for _, f := range o.fields {
			table.Add("  "+f.name, f.meaning)
		}
		text += "\n" + o.what + "\n" + table.String()
	}
	return text
}
