package sim

// places are what runs are to come by.
var places = []string{
	"answer moved", "answer lost", "answer unavailable", "answer unknown", "answer answered",
	"repeat answered", "reset", "released", "forgotten",
}
