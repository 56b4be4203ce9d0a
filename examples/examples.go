// Package examples holds files to try torc with. The ones that torc demo uses
// are part of the binary.
package examples

import _ "embed"

// Commands is commands.txt, the commands file that torc demo runs.
//
//go:embed commands.txt
var Commands string
