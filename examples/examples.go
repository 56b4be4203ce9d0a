package examples

import _ "embed"

// Commands is commands.txt, the commands file that torc demo runs.
//
//go:embed commands.txt
var Commands string
