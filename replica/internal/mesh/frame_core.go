package mesh

import (
	"encoding/binary"
	"fmt"
)

const (
	frameHead = 4 // bytes of length before each message

	// smallBuffer is what a connection has at rest, in each direction: some
	// hundred messages. largeBuffer is what it keeps when it once needed more; a
	// larger one is let go when it is empty.
	smallBuffer = 64 << 10
	largeBuffer = 1 << 20
)

// frames cuts what comes over a connection into frames.
type frames struct {
	limit      int // bytes of a frame without its head
	buf        []byte
	start, end int // buf[start:end] came in and was not taken
}

// newFrames begins with what was read already.
func newFrames(limit int, early []byte) *frames {
	f := &frames{limit: limit, buf: make([]byte, max(min(smallBuffer, frameHead+limit), len(early)))}
	f.end = copy(f.buf, early)
	return f
}

// rest is what came in and was not taken.
func (f *frames) rest() []byte { return f.buf[f.start:f.end] }

// room returns where to read to: at least one byte.
func (f *frames) room() []byte {
	if f.start == f.end {
		f.start, f.end = 0, 0
		if len(f.buf) > largeBuffer {
			f.buf = make([]byte, min(smallBuffer, frameHead+f.limit))
		}
	}
	if free := len(f.buf) - f.end; free == 0 || f.start > 0 && free < len(f.buf)/4 {
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	if f.end == len(f.buf) { // one frame fills it: what has come is doubled, not what was announced
		larger := make([]byte, min(2*len(f.buf), frameHead+f.limit))
		copy(larger, f.buf)
		f.buf = larger
	}
	return f.buf[f.end:]
}

// arrived says that n bytes were read into room.
func (f *frames) arrived(n int) { f.end += n }

// next takes the next frame, or nil if it isn't complete. It is valid until room
// is called.
func (f *frames) next() ([]byte, error) {
	if f.end-f.start < frameHead {
		return nil, nil
	}
	n := binary.LittleEndian.Uint32(f.buf[f.start:])
	if n == 0 || uint64(n) > uint64(f.limit) {
		return nil, fmt.Errorf("a frame of %d bytes: at least 1 and at most %d", n, f.limit)
	}
	begin := f.start + frameHead
	if f.end-begin < int(n) {
		return nil, nil
	}
	f.start = begin + int(n)
	return f.buf[begin:f.start:f.start], nil
}

// beginFrame and endFrame enclose what is appended to dst between them: dst as it
// was given to beginFrame had length at.
func beginFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

func endFrame(dst []byte, at int) {
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-frameHead))
}
