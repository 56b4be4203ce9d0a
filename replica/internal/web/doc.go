// Package web is the HTTP of the replica kind: the requirement's two requests,
// GET KEY and GET KEY=VALUE, and the extension that replica:// tables talk in.
//
//	conn ──> findHead ──> parse ──> Backend.Do ──> answer ──> conn
//	 │                                             (each a pure function, but for the Backend)
//	 └─ begins with the peers' preface: handed over, whole
//
// It does not stand on net/http, which refuses the requirement's own form of a
// request (no slash before the key, no Host), folds // and .. in paths, and adds
// headers that the requirement doesn't list. docs/replica-http.md has every
// request, every answer, and what is said to each kind of bad input.
//
// A connection has a goroutine, and its requests are carried out one after
// another; each answer is written before the next request is begun, so that none
// waits for what comes after it. What clients can make a Server take of memory is
// bounded: see Server.
package web
