package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/torc-dht/torc"
)

// AdminHandler serves what a person or a monitor asks this server, and what nobody
// else may: it belongs on a port of loopback, since it asks nobody who he is.
//
//	GET /livez                      200: the process answers
//	GET /readyz, GET /healthz       200: it can answer clients; 503, and why not
//	GET /status                     a Status as JSON
//	POST /forget?server=HOST:PORT   Forget
//
// A browser is not followed across sites: what a strange page has it send is
// refused.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		if l := s.loop.Load(); l == nil || !l.on(func() {}) {
			http.Error(w, ErrNotServing.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	ready := func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
	mux.HandleFunc("GET /readyz", ready)
	mux.HandleFunc("GET /healthz", ready)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		text := s.statusJSON()
		if text == nil {
			http.Error(w, ErrNotServing.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // who asked is gone, or not
	})
	mux.HandleFunc("POST /forget", func(w http.ResponseWriter, q *http.Request) {
		if !plainHost(q.Host) {
			http.Error(w, "ask by an address, or by localhost: a name may be anybody's", http.StatusForbidden)
			return
		}
		switch err := s.Forget(q.FormValue("server")); {
		case errors.Is(err, torc.ErrInvalid):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "ok")
		}
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

// plainHost tells whether a request was meant for this machine: a page in a browser
// can have its own name resolve to it, but not make a name an address.
func plainHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return host == "localhost" || net.ParseIP(host) != nil
}

// ready says why this server can't answer clients, if it can't.
func (s *Server) ready() error {
	st, err := s.Status()
	switch {
	case err != nil:
		return err
	case st.Serving:
		return nil
	case st.Epoch == Epoch{}:
		return errors.New("of no epoch yet: it looks for the others")
	case st.Degraded && s.RefuseMinority:
		return errors.New("too few servers are left to be sure that there is one history, and it is to refuse then")
	case st.Leader == "":
		return errors.New("nobody is known to lead")
	}
	return errors.New("it can't answer yet")
}

// statusJSON is a Status as JSON, with a newline; nil if the server doesn't serve.
func (s *Server) statusJSON() []byte {
	st, err := s.Status()
	if err != nil {
		return nil
	}
	text, err := json.Marshal(st)
	if err != nil {
		panic("replica: a Status is JSON: " + err.Error())
	}
	return append(text, '\n')
}
