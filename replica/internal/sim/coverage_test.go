package sim

// rarely says which places some number of seeds of TestAnything need not come by.
func rarely(name string, seeds int) bool {
	switch name {
	case "busy": // there are too few clients
		return true
	case "a leader that is answered late": // there is a scenario for it
		return true
	case "answer repeated": // a client asks for the result of its last call alone
		return seeds < 20000
	case "admits itself", "answer unknown", "the dead speak":
		return seeds < 2000
	}
	return false
}

// places are what runs are to come by: of clients, then the nodes' own.
var places = []string{
	"answer unavailable", "answer unknown", "answer repeated", "answer labelled", "a leader that is answered late",

	"admits", "admits itself", "becomes normal", "busy", "ejects", "falls", "founds afresh", "founds with data", "gives a snapshot up", "gives way", "heals", "joined in vain",
	"joins", "leader gone", "leader", "read asked again", "rises", "sends a snapshot", "sent again", "takes a snapshot", "thawed", "the dead speak", "was ejected",
}
