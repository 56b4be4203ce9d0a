package sim

// places are what runs are to come by: of clients and of the table, then those of
// the servers' own (see server.Config.Sometimes).
var places = []string{
	"answer moved", "answer lost", "answer unavailable", "answer unknown", "repeat answered",
	"reset", "released", "forgotten",

	"promotion waits for promises", "promotion with writes to send again", "write undone",
	"hand-over called off", "given back by a map that crossed", "given up, then a map that isn't the next",
	"copy to be dropped", "fill begins again", "write waits for more than copies",
	"repeat of a write without answer", "repeat of a write with an answer", "repeat of what was answered before",
}
