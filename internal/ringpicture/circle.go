package ringpicture

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/terminal"
)

// turn returns how far around the circle of 2^bits places an identifier is, from 0 up
// to 1.
func turn(id string, bits int) float64 { return part(number(id), bits) }

// share returns which part of a circle a span is, above 0 and up to 1; of nil it is 0.
func share(s *chord.Span, bits int) float64 {
	if s == nil {
		return 0
	}
	if s.From == s.To {
		return 1
	}
	return part(new(big.Int).Sub(number(s.To), number(s.From)), bits)
}

// number is that of an identifier; what is none is 0.
func number(id string) *big.Int {
	n, ok := new(big.Int).SetString(id, 10)
	if !ok {
		return new(big.Int)
	}
	return n
}

// part is n modulo 2^bits, as a part of that.
func part(n *big.Int, bits int) float64 {
	all := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	f, _ := new(big.Rat).SetFrac(new(big.Int).Mod(n, all), all).Float64()
	return math.Min(f, math.Nextafter(1, 0)) // what is next to it is rounded to 1
}

// mark is a node as it is drawn: one that answers, or one that others miss.
type mark struct {
	ref     chord.NodeRef
	at      float64 // turn
	label   string
	missing bool
	joining bool
}

// marks returns all nodes in order of their places; one that is missing is left out
// where one that lives has its identifier.
func marks(r chord.Ring) (all []mark) {
	lives := map[string]bool{}
	for _, n := range r.Nodes {
		lives[n.ID] = true
		all = append(all, mark{ref: n.NodeRef, at: turn(n.ID, r.Bits), label: short(n.ID) + " (" + count(n.Keys) + ")", joining: !n.Joined})
	}
	for _, m := range r.Missing {
		if !lives[m.ID] {
			all = append(all, mark{ref: m.NodeRef, at: turn(m.ID, r.Bits), label: short(m.ID), missing: true})
		}
	}
	slices.SortStableFunc(all, func(a, b mark) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	return all
}

// keys is how many entries all nodes own together.
func keys(r chord.Ring) (n uint64) {
	for _, s := range r.Nodes {
		n += s.Keys
	}
	return n
}

// short shortens an identifier of many digits to its ends.
func short(id string) string {
	const most, head, tail = 13, 6, 4
	if len(id) <= most {
		return id
	}
	return id[:head] + "…" + id[len(id)-tail:]
}

// span writes what is owned as the Chord papers do: (136, 1].
func span(s *chord.Span) string {
	if s == nil {
		return "nothing"
	}
	return "(" + short(s.From) + ", " + short(s.To) + "]"
}

func count(n uint64) string { return terminal.Count(n) }

// plural writes a number of things with the word that goes with it.
func plural(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + more
}

// list writes names in a line, and of more than most how many there are besides.
func list(names []string, most int) string {
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "+"+strconv.Itoa(len(names)-most))
	}
	return strings.Join(names, " ")
}
