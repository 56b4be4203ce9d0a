// Package chordpb is the code that protoc makes of chord.proto, which has the
// contract.
package chordpb

//go:generate protoc --proto_path=. --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative chord.proto
