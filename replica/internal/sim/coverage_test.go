package sim

// places are what runs are to come by: of clients, then the nodes' own.
var places = []string{
	"answer unavailable", "answer unknown", "answer repeated", "answer labelled",

	"admits", "admits itself", "becomes normal", "busy", "ejects", "falls", "founds afresh", "founds with data", "gives way", "heals", "joined in vain",
	"joins", "leader gone", "leader", "read asked again", "rises", "sends a snapshot", "sent again", "takes a snapshot", "thawed", "was ejected",
}
