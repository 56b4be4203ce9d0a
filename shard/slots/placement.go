package slots

import "fmt"

// Placement names a rule by which slots are spread over servers.
type Placement uint8

// The placements.
const (
	Minimal Placement = iota // whoever comes takes an equal share from each; nothing else moves
	Modulo                   // slot mod n, servers in the order of their numbers
)

var placementNames = [...]string{Minimal: "minimal", Modulo: "modulo"}

func (p Placement) String() string {
	if int(p) < len(placementNames) {
		return placementNames[p]
	}
	return fmt.Sprintf("Placement(%d)", p)
}

// ParsePlacement reads a placement's name.
func ParsePlacement(s string) (Placement, error) {
	for i, name := range placementNames {
		if s == name {
			return Placement(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a placement: minimal or modulo", s)
}
