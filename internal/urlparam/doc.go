// Package urlparam reads the parameters of a table's URL that several kinds of
// table have in common: numbers, times, and how TLS is spoken.
//
//	p := urlparam.Parser{URL: u}
//	o := Options{Conns: p.Number("conns", 1, 64), TLS: p.TLS()}
//	return o, p.Err
package urlparam
