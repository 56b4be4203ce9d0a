package link

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
)

// frame is a pb.Frame with the messages as they are.
type frame struct {
	hello *pb.Hello
	msgs  []msg.Message
}

// The numbers of pb.Frame's fields.
const (
	frameHello    = 1
	frameMessages = 2
)

// frameHead is the room for what is before a frame's messages, if there is no hello.
const frameHead = 1 + 5

// appendFrame appends f, in the form of a pb.Frame, after frameHead bytes of room, and
// returns where in them it begins.
func appendFrame(b []byte, f *frame) (all []byte, begin int, err error) {
	if f.hello != nil {
		hello, err := proto.Marshal(&pb.Frame{Hello: f.hello})
		return append(b, hello...), frameHead, err
	}
	for _, m := range f.msgs {
		b = appendMessage(b, m)
	}
	n := uint64(len(b) - frameHead)
	if n > math.MaxInt32 {
		return b, 0, fmt.Errorf("a frame of %d bytes", n)
	}
	begin = frameHead - 1 - protowire.SizeVarint(n)
	protowire.AppendVarint(protowire.AppendTag(b[:begin], frameMessages, protowire.BytesType), n)
	return b, begin, nil
}

// decodeFrame reads a frame; it keeps nothing of b.
func decodeFrame(b []byte, f *frame) error {
	*f = frame{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("a frame: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if num != frameHello && num != frameMessages {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return fmt.Errorf("a frame: %w", protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		part, n := protowire.ConsumeBytes(b)
		if n < 0 || typ != protowire.BytesType {
			return errors.New("a frame: truncated")
		}
		b = b[n:]
		switch {
		case num == frameHello && f.hello == nil:
			f.hello = &pb.Hello{}
			if err := proto.Unmarshal(part, f.hello); err != nil {
				return fmt.Errorf("a hello: %w", err)
			}
		case num == frameMessages && f.msgs == nil:
			var err error
			if f.msgs, err = decodeMessages(part); err != nil {
				return err
			}
		default:
			return errors.New("a frame has two of one")
		}
	}
	return nil
}

// buffers are for frames. A pool clears what it gives out, all that there is of it,
// and gRPC's own has nothing between 32 kB and 1 MB.
var buffers = func() mem.BufferPool {
	pool, err := mem.NewBinaryTieredBufferPool(8, 10, 12, 14, 16, 17, 18, 20)
	if err != nil {
		panic(err) // the sizes are constants
	}
	return pool
}()

// codec is gRPC's own, and knows frames besides.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	size := frameHead
	for _, m := range f.msgs {
		size += weight(m)
	}
	pooled := buffers.Get(size)
	b, begin, err := appendFrame((*pooled)[:frameHead], f)
	if err != nil {
		buffers.Put(pooled)
		return nil, err
	}
	if cap(b) > cap(*pooled) { // it took more
		buffers.Put(pooled)
		return mem.BufferSlice{mem.SliceBuffer(b[begin:])}, nil
	}
	*pooled = b
	whole := mem.NewBuffer(pooled, buffers)
	defer whole.Free()
	return mem.BufferSlice{whole.Slice(begin, len(b))}, nil
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
