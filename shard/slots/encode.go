package slots

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A map in bytes. Numbers are unsigned varints in their shortest form, boots 8
// bytes, little-endian.
//
//	map     = version(1) epoch placement(1) copies(1) minCopies(1)
//	          count server... count epoch... count row... index...   the epochs: Held
//	epoch   = term boot counter
//	server  = flags(1) length(1) address boot number [epoch]   the epoch: Deposed
//	row     = primary+1 shape(1) [held] copy...                 shape: copies, Fresh, held or not
//	copy    = server*4 + state
//
// Rows are told apart: each that is different from all before it is written once,
// in the order of the first slots that have them; then there is an index for each
// of the Count slots, of one byte if there are at most 256 rows, else of two. So a
// map has one form only, and one of 12 servers takes some 30 kB.
const encodingVersion = 1

const (
	flagDead = 1 << iota
	flagLeaving
	flagDeposed
	flagsEnd
)

const (
	shapeFresh = 0x80
	shapeHeld  = 0x40
)

// MarshalBinary implements [encoding.BinaryMarshaler]. See AppendBinary.
func (m *Map) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// AppendBinary appends m's bytes to b. It refuses a map that doesn't pass Check.
func (m *Map) AppendBinary(b []byte) ([]byte, error) {
	if err := m.Check(); err != nil {
		return b, err
	}
	index := make([]uint16, Count)
	var rows []int // the first slot of each
	known := make(map[Row]uint16)
	// recent has the last slot of each hash of a row: nearly always of an equal
	// row, and much faster than known.
	var recent [512]int
	for s := range m.Rows {
		r := &m.Rows[s]
		h := &recent[(int(r.Primary)*31+int(r.copies[0].Server)*7+int(r.copies[1].Server))&511]
		if before := *h; before < s && m.Rows[before] == *r {
			index[s] = index[before]
			continue
		}
		*h = s
		i, ok := known[*r]
		if !ok {
			i = uint16(len(rows))
			known[*r] = i
			rows = append(rows, s)
		}
		index[s] = i
	}

	b = slices.Grow(b, 64+len(m.Servers)*48+len(rows)*8+2*Count)
	b = append(b, encodingVersion)
	b = appendEpoch(b, m.Epoch)
	b = append(b, byte(m.Placement), byte(m.Copies), byte(m.MinCopies))
	b = binary.AppendUvarint(b, uint64(len(m.Servers)))
	for i := range m.Servers {
		b = appendServer(b, &m.Servers[i])
	}
	b = binary.AppendUvarint(b, uint64(len(m.Held)))
	for _, e := range m.Held {
		b = appendEpoch(b, e)
	}
	b = binary.AppendUvarint(b, uint64(len(rows)))
	for _, s := range rows {
		b = appendRow(b, &m.Rows[s])
	}
	for _, i := range index {
		b = append(b, byte(i))
		if len(rows) > 256 {
			b = append(b, byte(i>>8))
		}
	}
	return b, nil
}

func appendEpoch(b []byte, e Epoch) []byte {
	b = binary.AppendUvarint(b, e.Term)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Boot))
	return binary.AppendUvarint(b, e.Counter)
}

func appendServer(b []byte, v *Server) []byte {
	flags := byte(0)
	if v.Dead {
		flags |= flagDead
	}
	if v.Leaving {
		flags |= flagLeaving
	}
	if v.Deposed != (Epoch{}) {
		flags |= flagDeposed
	}
	b = append(b, flags, byte(len(v.Addr)))
	b = append(b, v.Addr...)
	b = binary.LittleEndian.AppendUint64(b, uint64(v.Boot))
	b = binary.AppendUvarint(b, uint64(v.Number))
	if flags&flagDeposed != 0 {
		b = appendEpoch(b, v.Deposed)
	}
	return b
}

func appendRow(b []byte, r *Row) []byte {
	shape := r.n
	if r.Fresh {
		shape |= shapeFresh
	}
	if r.Held > 0 {
		shape |= shapeHeld
	}
	b = binary.AppendUvarint(b, uint64(r.Primary+1))
	b = append(b, shape)
	if r.Held > 0 {
		b = binary.AppendUvarint(b, uint64(r.Held))
	}
	for _, c := range r.Copies() {
		b = binary.AppendUvarint(b, uint64(c.Server)<<2|uint64(c.State))
	}
	return b
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler]: it makes m the map that
// data has, which passes Check, and keeps nothing of data. It refuses what
// AppendBinary would not have written, to the byte; m is then as it was.
func (m *Map) UnmarshalBinary(data []byte) error {
	d := decoder{data: data}
	read := d.mapping()
	if d.err == nil && len(d.data) > 0 {
		d.fail(fmt.Errorf("%d bytes too many", len(d.data)))
	}
	if d.err == nil {
		d.err = read.Check()
	}
	if d.err != nil {
		return fmt.Errorf("not a map of slots: %w", d.err)
	}
	*m = *read
	return nil
}

var errShort = errors.New("it ends too early")

// decoder takes things off the front of data. After the first error there is no
// more data, and all that it returns is zero.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data = nil
}

func (d *decoder) bytes(n int) []byte {
	if len(d.data) < n {
		d.fail(errShort)
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// number reads a varint of at most limit.
func (d *decoder) number(what string, limit uint64) uint64 {
	v, n := binary.Uvarint(d.data)
	switch {
	case n == 0:
		d.fail(errShort)
		return 0
	case n < 0 || n > 1 && d.data[n-1] == 0:
		d.fail(fmt.Errorf("%s: not a varint in its shortest form", what))
		return 0
	case v > limit:
		d.fail(fmt.Errorf("%s: %d is more than %d", what, v, limit))
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) boot() Boot {
	if b := d.bytes(8); b != nil {
		return Boot(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) epoch() Epoch {
	return Epoch{Term: d.number("term", 1<<64-1), Boot: d.boot(), Counter: d.number("counter", 1<<64-1)}
}

func (d *decoder) mapping() *Map {
	if v := d.byte(); d.err == nil && v != encodingVersion {
		d.fail(fmt.Errorf("its version is %d, not %d", v, encodingVersion))
	}
	m := &Map{Epoch: d.epoch(), Placement: Placement(d.byte()), Copies: int(d.byte()), MinCopies: int(d.byte())}
	for range d.number("servers", MaxServers) {
		if d.err != nil {
			return m
		}
		m.Servers = append(m.Servers, d.server())
	}
	for range d.number("epochs of held rows", Count) {
		if d.err != nil {
			return m
		}
		m.Held = append(m.Held, d.epoch())
	}
	n := int(d.number("different rows", Count))
	var rows []Row
	known := make(map[Row]bool)
	for range n {
		r := d.row(len(m.Servers))
		if d.err == nil && known[r] {
			d.fail(errors.New("a row is there twice"))
		}
		if d.err != nil {
			return m
		}
		known[r] = true
		rows = append(rows, r)
	}
	m.Rows = d.indices(rows)
	return m
}

func (d *decoder) server() Server {
	flags := d.byte()
	if flags >= flagsEnd {
		d.fail(fmt.Errorf("a server has the unknown flags %#x", flags))
	}
	v := Server{Dead: flags&flagDead != 0, Leaving: flags&flagLeaving != 0}
	v.Addr = string(d.bytes(int(d.byte())))
	v.Boot = d.boot()
	v.Number = uint32(d.number("a server's number", 1<<32-1))
	if flags&flagDeposed != 0 {
		if v.Deposed = d.epoch(); v.Deposed == (Epoch{}) {
			d.fail(errors.New("a server was deposed in epoch zero"))
		}
	}
	return v
}

func (d *decoder) row(servers int) Row {
	r := Row{Primary: int16(d.number("a primary", uint64(servers))) - 1}
	shape := d.byte()
	r.Fresh = shape&shapeFresh != 0
	if shape&shapeHeld != 0 {
		if r.Held = uint16(d.number("a held row's epoch", Count)); r.Held == 0 {
			d.fail(errors.New("a held row has no epoch"))
		}
	}
	n := shape &^ (shapeFresh | shapeHeld)
	if n > maxBackups {
		d.fail(fmt.Errorf("a row has %d copies, more than %d", n, maxBackups))
		return r
	}
	r.n = n
	for i := range r.copies[:n] {
		c := d.number("a copy", MaxServers<<2)
		r.copies[i] = Copy{Server: int16(c >> 2), State: State(c & 3)}
	}
	return r
}

// indices reads which row each slot has.
func (d *decoder) indices(rows []Row) []Row {
	width := 1
	if len(rows) > 256 {
		width = 2
	}
	b := d.bytes(Count * width)
	if b == nil {
		return nil
	}
	all := make([]Row, Count)
	begun := 0 // so many rows have been there
	for s := range all {
		i := int(b[s*width])
		if width == 2 {
			i |= int(b[s*width+1]) << 8
		}
		if i > begun || i >= len(rows) {
			d.fail(fmt.Errorf("slot %d has row %d of %d, with %d before it", s, i, len(rows), begun))
			return nil
		}
		if i == begun {
			begun++
		}
		all[s] = rows[i]
	}
	if begun < len(rows) {
		d.fail(fmt.Errorf("row %d is no slot's", begun))
	}
	return all
}
