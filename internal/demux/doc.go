// Package demux serves gRPC and the memcached protocol on one port.
//
// A client of gRPC speaks first, and always begins with HTTP/2's preface, which
// no memcached command begins with. So a connection's first bytes, or what its
// TLS handshake agreed on, say to which of two listeners it belongs:
//
//	d := demux.New(l, demux.Config{})
//	go grpcServer.Serve(d.GRPC())
//	go memcacheServer.Serve(d.Data())
//	err := d.Serve()
//
//	          ┌─────────┐  "PRI * HTTP/2.0"   ┌────────┐
//	          │         ├──or ALPN h2─────────► GRPC() │
//	 port ────► waiting │                     ├────────┤
//	          │         ├──anything else──────► Data() │
//	          └─────────┘                     └────────┘
//
// No byte is lost by that: where the system can, it is asked what has come
// without taking it, and the accepted connection itself is handed on.
//
// Connections that wait, for their first bytes or to be accepted, are bounded in
// number and time. When there are too many, the one that has waited longest is
// closed: clients that say nothing can't keep out those that speak.
package demux
