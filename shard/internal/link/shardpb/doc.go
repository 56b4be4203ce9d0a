// Package shardpb is the code that protoc makes of shard.proto, which has the
// contract.
package shardpb

//go:generate protoc --proto_path=. --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative shard.proto
