package sim

// rarely says which places are not for every run of TestAnything: too many
// operations at once, and one that a scenario is for.
func rarely(name string) bool { return name == "busy" || name == "a leader that is answered late" }

// places are what runs are to come by: of clients, then the nodes' own.
var places = []string{
	"answer unavailable", "answer unknown", "answer repeated", "answer labelled", "a leader that is answered late",

	"admits", "admits itself", "becomes normal", "busy", "ejects", "falls", "founds afresh", "founds with data", "gives way", "heals", "joined in vain",
	"joins", "leader gone", "leader", "read asked again", "rises", "sends a snapshot", "sent again", "takes a snapshot", "thawed", "was ejected",
}
