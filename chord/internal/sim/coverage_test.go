package sim

// rarely says which places some number of seeds of TestAnything need not come by.
func rarely(name string, seeds int) bool {
	switch name {
	case "refused by the dead", "joins by another", "a fetch is stuck", "answer forgotten":
		return true
	}
	return seeds < someSeeds
}

// places are what runs are to come by: of clients and processes, then the nodes' own.
var places = []string{
	"answer moved", "answer unavailable", "answer unknown", "answer forgotten", "repeat answered",
	"refused by the dead", "joins by another",

	"a bare claim gives way", "a fetch is stuck", "a gap has an owner", "a gap is fetched",
	"a holder lacks what it should have", "another one claims a gap", "dead and alive", "deposed",
	"deposed with writes of its own", "grant refused", "nobody has all of a gap", "promised to another one",
	"refuses a grant", "repeat", "repeat of what was answered before", "suspected", "suspected and alive",
	"two owners meet", "what was wanted is another one's by now",
}
