package urlparam

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

func parser(t *testing.T, query string) *Parser {
	t.Helper()
	u, err := torc.ParseURL("x://h:1?" + query)
	if err != nil {
		t.Fatal(err)
	}
	return &Parser{URL: u}
}

func TestParser(t *testing.T) {
	p := parser(t, "n=7&d=250ms&tls=on&tls-name=torc.test")
	n, d, tls := p.Number("n", 1, 9), p.Duration("d"), p.TLS()
	if p.Err != nil || n != 7 || d != 250*time.Millisecond || tls == nil || tls.ServerName != "torc.test" {
		t.Errorf("read %d, %v, %+v, %v", n, d, tls, p.Err)
	}
	p = parser(t, "")
	if p.Number("n", 1, 9) != 0 || p.Duration("d") != 0 || p.TLS() != nil || p.Err != nil {
		t.Errorf("what is absent is not zero: %v", p.Err)
	}
}

// The first of several errors is kept, and says which parameter and what it takes.
func TestWrongParameters(t *testing.T) {
	for query, want := range map[string]string{
		"n=10":                      "n=10 in x://h:1?n=10: it takes a number from 1 to 9",
		"n=0&d=2":                   "n=0",
		"n=x":                       "a number",
		"d=2":                       "250ms",
		"d=2h":                      "from 1ms to 1h",
		"tls=maybe":                 "on or off",
		"tls-ca=x":                  "tls=on",
		"tls=on&tls-ca=/no/ca":      "no such file",
		"tls=on&tls-ca=" + "doc.go": "no certificate",
		"tls=on&tls-key=/no/key":    "no such file",
	} {
		p := parser(t, query)
		p.Number("n", 1, 9)
		p.Duration("d")
		p.TLS()
		if !errors.Is(p.Err, torc.ErrInvalid) || !strings.Contains(p.Err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, p.Err, want)
		}
	}
}
