package urlparam

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/torc-dht/torc"
)

// TLSNames are the parameters that TLS reads.
var TLSNames = []string{"tls", "tls-ca", "tls-cert", "tls-key", "tls-name"}

// Parser reads one URL's parameters. It keeps the first error, so that its callers
// read as a list.
type Parser struct {
	URL *torc.URL
	// Err says which parameter is wrong and what it takes; it wraps
	// torc.ErrInvalid.
	Err error
}

// Fail notes that a parameter is wrong, and what it takes.
func (p *Parser) Fail(name, want string) {
	if p.Err == nil {
		p.Err = fmt.Errorf("%w: %s=%s in %s: %s", torc.ErrInvalid, name, p.URL.Query.Get(name), p.URL, want)
	}
}

// Number reads a number from low to high; 0 if the parameter is absent.
func (p *Parser) Number(name string, low, high int) int {
	if !p.URL.Query.Has(name) {
		return 0
	}
	n, err := strconv.Atoi(p.URL.Query.Get(name))
	if err != nil || n < low || n > high {
		p.Fail(name, fmt.Sprintf("it takes a number from %d to %d", low, high))
		return 0
	}
	return n
}

// Duration reads a time from a millisecond to an hour; 0 if the parameter is
// absent.
func (p *Parser) Duration(name string) time.Duration {
	if !p.URL.Query.Has(name) {
		return 0
	}
	d, err := time.ParseDuration(p.URL.Query.Get(name))
	if err != nil || d < time.Millisecond || d > time.Hour {
		p.Fail(name, "it takes a time from 1ms to 1h, as in 250ms or 2s")
		return 0
	}
	return d
}

// TLS reads how TLS is spoken, nil if it isn't: tls=on speaks it to the servers;
// tls-ca names a file of certificates to trust in place of the system's, tls-cert
// and tls-key the client's own, and tls-name the name that the servers'
// certificates carry.
func (p *Parser) TLS() *tls.Config {
	q := p.URL.Query
	switch q.Get("tls") {
	case "on":
	case "", "off":
		for _, name := range TLSNames[1:] {
			if q.Has(name) {
				p.Fail(name, "it goes with tls=on")
			}
		}
		return nil
	default:
		p.Fail("tls", "it takes on or off")
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: q.Get("tls-name")}
	if file := q.Get("tls-ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			p.Fail("tls-ca", err.Error())
			return nil
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			p.Fail("tls-ca", "the file holds no certificate in PEM form")
			return nil
		}
	}
	if q.Has("tls-cert") || q.Has("tls-key") {
		cert, err := tls.LoadX509KeyPair(q.Get("tls-cert"), q.Get("tls-key"))
		if err != nil {
			p.Fail("tls-cert", err.Error())
			return nil
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c
}
