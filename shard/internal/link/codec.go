package link

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
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

	ackBound = 2*headBound + 1 + 11
)

// encodeFrame returns f in the form of a pb.Frame: the end of a buffer that alloc
// returns, of that length at least.
func encodeFrame(f *frame, alloc func(n int) []byte) (*writer, error) {
	// Those that are rare are converted first, to know how long they are.
	var converted [][]byte
	bound := 0
	if f.opening != nil || f.welcome != nil {
		b, err := proto.Marshal(&pb.Frame{Opening: f.opening, Welcome: f.welcome})
		if err != nil {
			return nil, err
		}
		converted = append(converted, b)
		bound += len(b)
	}
	for _, m := range f.msgs {
		switch m := m.(type) {
		case *msg.Batch:
			bound += headBound + boundBatch(m)
		case *msg.Ack:
			bound += ackBound
		default:
			w, err := toWire(m)
			if err != nil {
				return nil, err
			}
			b, err := proto.Marshal(w)
			if err != nil {
				return nil, err
			}
			converted = append(converted, b)
			bound += headBound + len(b)
		}
	}
	w := &writer{b: alloc(bound)}
	w.i = len(w.b)
	for i := len(f.msgs) - 1; i >= 0; i-- {
		end := w.i
		switch m := f.msgs[i].(type) {
		case *msg.Batch:
			w.batch(m)
			w.head(messageBatch, end)
		case *msg.Ack:
			w.varint(ackUpto, m.Upto)
			w.head(messageAck, end)
		default:
			last := len(converted) - 1
			w.i -= copy(w.b[w.i-len(converted[last]):], converted[last])
			converted = converted[:last]
		}
		w.head(frameMessage, end)
	}
	if len(converted) > 0 {
		w.i -= copy(w.b[w.i-len(converted[0]):], converted[0])
	}
	return w, nil
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

// weight is about how many bytes a message has on the wire, rather more than less.
func weight(m msg.Message) int {
	switch m := m.(type) {
	case *msg.Batch:
		return headBound + boundBatch(m)
	case *msg.Ack:
		return ackBound
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

// buffers are for frames. A pool clears what it gives out, all that there is of it,
// and gRPC's own has nothing between 32 kB and 1 MB; a batch of 256 empty slots, or a
// map, is in between.
var buffers = func() mem.BufferPool {
	pool, err := mem.NewBinaryTieredBufferPool(8, 12, 14, 15, 16, 17, 18, 20)
	if err != nil {
		panic(err) // the sizes are constants
	}
	return pool
}()

// codec is gRPC's own, and knows frames besides. On the wire it is plain
// protobuf, for both kinds.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	var buf *[]byte
	w, err := encodeFrame(f, func(n int) []byte {
		buf = buffers.Get(n)
		return *buf
	})
	if err != nil {
		return nil, err
	}
	whole := mem.NewBuffer(buf, buffers)
	defer whole.Free()
	return mem.BufferSlice{whole.Slice(w.i, len(w.b))}, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(buffers)
	defer buf.Free()
	return decodeFrame(buf.ReadOnlyData(), f)
}
