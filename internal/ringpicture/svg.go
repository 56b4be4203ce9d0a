package ringpicture

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/torc-dht/torc/chord"
)

// The picture, in its own units.
const (
	width, height = 900.0, 760.0
	centreX       = width / 2
	centreY       = 390.0
	radius        = 270.0
)

// palette is what neighbouring arcs are told apart by: two colours, and a third for
// the last one where they don't come out even.
var palette = []string{"#2f6fad", "#8db8de", "#5a93c6"}

func colour(i, of int) string {
	if i == of-1 && i%2 == 0 && i > 0 {
		return palette[2]
	}
	return palette[i%2]
}

// SVG draws the ring as a picture, with the fingers of the node of that identifier as
// lines from it; "" draws none. It fails if there is no such node.
func SVG(r chord.Ring, fingersOf string) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="14">
<style>text{fill:#222}.bg{fill:#fff}.dim{fill:#666;font-size:12px;paint-order:stroke;stroke:#fff;stroke-width:4px}@media(prefers-color-scheme:dark){text{fill:#eee}.bg{fill:#1b1b1b}.dim{fill:#aaa;stroke:#1b1b1b}}</style>
<rect class="bg" width="%g" height="%g"/>
`, width, height, width, height)
	fmt.Fprintf(&b, "<text x=\"24\" y=\"36\" font-size=\"18\">2^%d places, %s, %s, %s</text>\n<text class=\"dim\" x=\"24\" y=\"740\">each node: its identifier (how many keys it owns)</text>\n", r.Bits,
		plural(uint64(len(r.Nodes)), "node", "nodes"), plural(keys(r), "key", "keys"), plural(uint64(r.Replicas), "replica", "replicas"))
	arcs(&b, r)
	if fingersOf != "" {
		if err := fingers(&b, r, fingersOf); err != nil {
			return nil, err
		}
	}
	all := marks(r)
	for i, m := range all {
		// A label gives way to one that is close before it.
		lift := 0.0
		if i > 0 && m.at-all[i-1].at < 0.012 && i%2 == 1 {
			lift = 18
		}
		node(&b, m, lift, m.ref.ID == fingersOf && !m.missing)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String()), nil
}

// onCircle is where a turn is, at a distance from the centre.
func onCircle(at, distance float64) (x, y float64) {
	sin, cos := math.Sincos(2 * math.Pi * at)
	return centreX + distance*sin, centreY - distance*cos
}

// arcs draws what each node owns.
func arcs(b *strings.Builder, r chord.Ring) {
	fmt.Fprintf(b, "<circle cx=\"%g\" cy=\"%g\" r=\"%g\" fill=\"none\" stroke=\"#999\" stroke-width=\"2\"/>\n", centreX, centreY, radius)
	for i, n := range r.Nodes {
		of := share(n.Owns, r.Bits)
		if of == 0 {
			continue
		}
		paint := colour(i, len(r.Nodes))
		title := fmt.Sprintf("%s owns %s, %.1f %% of all places, %s", n.ID, span(n.Owns), 100*of, plural(n.Keys, "key", "keys"))
		if of == 1 {
			fmt.Fprintf(b, "<circle cx=\"%g\" cy=\"%g\" r=\"%g\" fill=\"none\" stroke=\"%s\" stroke-width=\"10\"><title>%s</title></circle>\n", centreX, centreY, radius, paint, html.EscapeString(title))
			continue
		}
		from, to := turn(n.Owns.From, r.Bits), turn(n.Owns.To, r.Bits)
		x1, y1 := onCircle(from, radius)
		x2, y2 := onCircle(to, radius)
		large := 0
		if of > 0.5 {
			large = 1
		}
		fmt.Fprintf(b, "<path d=\"M%.1f %.1fA%g %g 0 %d 1 %.1f %.1f\" fill=\"none\" stroke=\"%s\" stroke-width=\"10\"><title>%s</title></path>\n",
			x1, y1, radius, radius, large, x2, y2, paint, html.EscapeString(title))
	}
}

// fingers draws a node's fingers, one line for each node that is one, with the first k
// of it.
func fingers(b *strings.Builder, r chord.Ring, of string) error {
	for _, n := range r.Nodes {
		if n.ID != of {
			continue
		}
		fmt.Fprintf(b, "<text class=\"dim\" x=\"24\" y=\"58\">fingers of %s: finger k is the first node at or after %s + 2^k</text>\n", html.EscapeString(short(of)), html.EscapeString(short(of)))
		x1, y1 := onCircle(turn(of, r.Bits), radius-8)
		for i, f := range n.Fingers {
			if f.Node.ID == of {
				continue
			}
			last := r.Bits - 1
			if i+1 < len(n.Fingers) {
				last = n.Fingers[i+1].K - 1
			}
			which := fmt.Sprintf("k = %d", f.K)
			if last > f.K {
				which = fmt.Sprintf("k = %d to %d", f.K, last)
			}
			x2, y2 := onCircle(turn(f.Node.ID, r.Bits), radius-8)
			fmt.Fprintf(b, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#c0562a\" stroke-width=\"1.5\"><title>%s is %s</title></path>\n", x1, y1, x2, y2, html.EscapeString(which), html.EscapeString(f.Node.ID))
			// Close to the far end, where lines are apart.
			fmt.Fprintf(b, "<text class=\"dim\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x1+0.78*(x2-x1), y1+0.78*(y2-y1), which)
		}
		return nil
	}
	return fmt.Errorf("no node %s answers, and its fingers can't be drawn", of)
}

// node draws a node and its label.
func node(b *strings.Builder, m mark, lift float64, chosen bool) {
	x, y := onCircle(m.at, radius)
	fill, stroke, size := "#2e8b57", "#fff", 8.0
	switch {
	case m.missing:
		fill, stroke = "#fff", "#c62828"
	case m.joining:
		fill, stroke = "#fff", "#b8860b"
	case chosen:
		fill, size = "#c0562a", 10
	}
	fmt.Fprintf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" fill=\"%s\" stroke=\"%s\" stroke-width=\"2\"><title>%s</title></circle>\n",
		x, y, size, fill, stroke, html.EscapeString(m.ref.String()))
	x, y = onCircle(m.at, radius+22+lift)
	anchor := "middle"
	if sin := math.Sin(2 * math.Pi * m.at); math.Abs(sin) > 0.2 {
		anchor = map[int]string{1: "start", -1: "end"}[cmp.Compare(sin, 0)]
	}
	label := m.label
	if m.missing {
		label += " missing"
	}
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" dominant-baseline=\"middle\">%s</text>\n", x, y, anchor, html.EscapeString(label))
}
