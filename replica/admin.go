package replica

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/torc-dht/torc"
)

// adminOffset is how far a server's admin port is from the one that clients use.
const adminOffset = 10000

// DefaultAdminAddr is where the server that clients reach at addr has its admin port
// unless it was told otherwise: on loopback, 10000 above the port of addr, or below
// where there is none above. addr has to be a host:port.
func DefaultAdminAddr(addr string) string {
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	if port += adminOffset; port > 65535 {
		port -= 2 * adminOffset
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// maxStatus bounds the bytes of a Status, and of a refusal, that are read.
const maxStatus = 64 << 10

// Ask asks the server at addr how its table stands, on the port that clients use.
// config, if not nil, is the TLS that it speaks.
func Ask(ctx context.Context, addr string, config *tls.Config) (Status, error) {
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: scheme, Host: addr, Path: "/"}).String(), nil)
	if err != nil {
		return Status{}, fmt.Errorf("replica: %w: %w", torc.ErrInvalid, err)
	}
	q.Header.Set("X-Torc-Op", "0-0-0")
	q.Header.Set("X-Torc-Members", "1")
	return askStatus(q, addr, config)
}

// Admin is the admin port of a server on this machine: see Server.AdminHandler.
type Admin struct {
	Addr string // host:port
}

// Status asks how the table stands.
func (a Admin) Status(ctx context.Context) (Status, error) {
	q, err := a.request(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return Status{}, err
	}
	return askStatus(q, a.Addr, nil)
}

// Forget gives up the server at addr, as Server.Forget does.
func (a Admin) Forget(ctx context.Context, addr string) error {
	q, err := a.request(ctx, http.MethodPost, "/forget", url.Values{"server": {addr}})
	if err != nil {
		return err
	}
	_, err = roundTrip(q, a.Addr, nil)
	return err
}

func (a Admin) request(ctx context.Context, method, path string, query url.Values) (*http.Request, error) {
	u := url.URL{Scheme: "http", Host: a.Addr, Path: path, RawQuery: query.Encode()}
	q, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("replica: %w: %w", torc.ErrInvalid, err)
	}
	return q, nil
}

func askStatus(q *http.Request, addr string, config *tls.Config) (st Status, err error) {
	body, err := roundTrip(q, addr, config)
	if err != nil {
		return Status{}, err
	}
	if err := json.Unmarshal(body, &st); err != nil {
		return Status{}, fmt.Errorf("replica: %s: %w: what answers there is no server of a replica table", addr, torc.ErrUnavailable)
	}
	return st, nil
}

// roundTrip sends a request over a connection of its own, and returns the body of
// the answer if that is 200.
func roundTrip(q *http.Request, addr string, config *tls.Config) ([]byte, error) {
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(q)
	if err != nil {
		return nil, fmt.Errorf("replica: %s: %w: %w", addr, torc.ErrUnavailable, plainError(q.Context(), err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxStatus))
	if err != nil {
		return nil, fmt.Errorf("replica: %s: %w: %w", addr, torc.ErrUnavailable, plainError(q.Context(), err))
	}
	if answer.StatusCode != http.StatusOK {
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return nil, fmt.Errorf("%s says: %s", addr, strings.TrimPrefix(line, "replica: "))
	}
	return body, nil
}

// plainError is a failure to reach a server in the words that a person needs.
func plainError(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return errors.New("no answer in time")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused: nobody listens there")
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	}
	return err
}
