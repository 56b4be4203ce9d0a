package link

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
)

// frame is a pb.Frame with the messages as they are.
type frame struct {
	opening *pb.Opening
	welcome *pb.Welcome
	msgs    []msg.Message
}

const (
	frameOpening = 1<<3 | bytesField
	frameWelcome = 2<<3 | bytesField
	frameMessage = 3<<3 | bytesField

	messageBatch = 15<<3 | bytesField
	messageAck   = 16<<3 | bytesField // two bytes
)

// appendFrame appends f in the form of a pb.Frame.
func appendFrame(b []byte, f *frame) ([]byte, error) {
	if f.opening != nil || f.welcome != nil {
		var err error
		b, err = proto.MarshalOptions{}.MarshalAppend(b, &pb.Frame{Opening: f.opening, Welcome: f.welcome})
		if err != nil {
			return nil, err
		}
	}
	for _, m := range f.msgs {
		switch m := m.(type) {
		case *msg.Batch:
			n := sizeBatch(m)
			b = appendHead(b, frameMessage, sizeMessage(n))
			b = appendBatch(appendHead(b, messageBatch, n), m)
		case *msg.Ack:
			n := sizeVarint(m.Upto)
			b = appendHead(b, frameMessage, 1+sizeMessage(n))
			b = protowire.AppendVarint(b, messageAck)
			b = append(b, byte(n))
			b = appendVarint(b, ackUpto, m.Upto)
		default:
			w, err := toWire(m)
			if err != nil {
				return nil, err
			}
			b = protowire.AppendVarint(append(b, byte(frameMessage)), uint64(proto.Size(w)))
			if b, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(b, w); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// decodeFrame reads a frame; it keeps nothing of b.
func decodeFrame(b []byte, f *frame) error {
	n, err := count(b, frameMessage)
	if err != nil {
		return fmt.Errorf("a frame: %w", err)
	}
	if err := within("a frame's number of messages", uint64(n), maxParts); err != nil {
		return err
	}
	*f = frame{msgs: make([]msg.Message, 0, n)}
	var part field
	for len(b) > 0 {
		if b, err = next(b, &part); err != nil {
			return fmt.Errorf("a frame: %w", err)
		}
		switch part.key {
		case frameOpening:
			f.opening = &pb.Opening{}
			err = proto.Unmarshal(part.data, f.opening)
		case frameWelcome:
			f.welcome = &pb.Welcome{}
			err = proto.Unmarshal(part.data, f.welcome)
		case frameMessage:
			var m msg.Message
			if m, err = decodeMessage(part.data); err == nil {
				f.msgs = append(f.msgs, m)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeMessage(b []byte) (msg.Message, error) {
	var f field
	rest, err := next(b, &f)
	if err != nil {
		return nil, fmt.Errorf("a message: %w", err)
	}
	// Two kinds in one message: protobuf takes the last. Nobody sends that.
	if len(rest) == 0 {
		switch f.key {
		case messageBatch:
			return decodeBatch(f.data)
		case messageAck:
			return decodeAck(f.data)
		}
	}
	return fromWire(b)
}

// weight is about how many bytes a message has on the wire.
func weight(m msg.Message) int {
	switch m := m.(type) {
	case *msg.Batch:
		return 8 + sizeBatch(m)
	case *msg.Ack:
		return 16
	case *msg.MapUpdate:
		return mapWeight
	case *msg.Report:
		return mapWeight
	case *msg.HandOver:
		return 64 + 3*len(m.Slots)
	case *msg.GaveUp:
		return 64 + 3*len(m.Slots)
	}
	return 128
}

// mapWeight is a map's, which has some 28,000 rows.
const mapWeight = 100_000

// codec is gRPC's own, and knows frames besides. On the wire it is plain
// protobuf, for both kinds.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	size := 64
	for _, m := range f.msgs {
		size += weight(m)
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	b, err := appendFrame((*buf)[:0], f)
	if err != nil {
		pool.Put(buf)
		return nil, err
	}
	*buf = b
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return decodeFrame(buf.ReadOnlyData(), f)
}
