package place

import (
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"strings"
)

// MaxBits is the largest n: a sha-1 has so many bits.
const MaxBits = 160

const size = MaxBits / 8

// Place is a place on a circle: a number, its most significant byte first. Places are
// compared with ==; the zero Place is place 0.
type Place [size]byte

// Circle is a circle of 2^n places, by its n.
type Circle int

// New returns the circle of 2^n places. The error says which n there are.
func New(n int) (Circle, error) {
	if n < 1 || n > MaxBits {
		return 0, fmt.Errorf("a ring has 2^n places, and n is %d: it can be 1 to %d", n, MaxBits)
	}
	return Circle(n), nil
}

// Of returns the place of a number of any size, modulo 2^n.
func (c Circle) Of(number *big.Int) Place {
	var p Place
	rest := new(big.Int).And(number, c.mask())
	rest.FillBytes(p[:])
	return p
}

func (c Circle) mask() *big.Int {
	m := new(big.Int).Lsh(big.NewInt(1), uint(c))
	return m.Sub(m, big.NewInt(1))
}

// OfKey returns the place of a key. A key of decimal digits only is that number; of
// another one it is the sha-1 that counts.
func (c Circle) OfKey(key string) Place {
	if !digits(key) {
		var room [256]byte // for the longest key of a table
		return c.cut(sha1.Sum(append(room[:0], key...)))
	}
	if len(key) <= 19 { // it fits into 64 bits
		var v uint64
		for i := range len(key) {
			v = 10*v + uint64(key[i]-'0')
		}
		return c.cut(ofUint(v))
	}
	number, _ := new(big.Int).SetString(strings.Clone(key), 10) // so that key need not be on the heap
	return c.Of(number)
}

func digits(key string) bool {
	for i := range len(key) {
		if key[i] < '0' || key[i] > '9' {
			return false
		}
	}
	return key != ""
}

// errNoNumber is why a text is no identifier.
var errNoNumber = errors.New("it is not a decimal number")

// Parse reads a node's identifier: a decimal number from 0 to 2^n - 1.
func (c Circle) Parse(id string) (Place, error) {
	if !digits(id) {
		return Place{}, fmt.Errorf("identifier %q: %w", id, errNoNumber)
	}
	number, _ := new(big.Int).SetString(id, 10)
	if number.BitLen() > int(c) {
		return Place{}, fmt.Errorf("identifier %s is outside of the ring: with n = %d it can be 0 to %s", id, int(c), c.mask())
	}
	return c.Of(number), nil
}

// cut returns p modulo 2^n.
func (c Circle) cut(p [size]byte) Place {
	whole, rest := int(c)/8, int(c)%8
	clear(p[:size-(int(c)+7)/8])
	if rest != 0 {
		p[size-whole-1] &= 1<<rest - 1
	}
	return p
}

func ofUint(v uint64) (p Place) {
	for i := range 8 {
		p[size-1-i] = byte(v >> (8 * i))
	}
	return p
}

// String returns the number in decimal.
func (p Place) String() string { return new(big.Int).SetBytes(p[:]).String() }

// Compare orders places as numbers.
func (p Place) Compare(q Place) int {
	be := binary.BigEndian
	if a, b := be.Uint64(p[:]), be.Uint64(q[:]); a != b {
		return cmp.Compare(a, b)
	}
	if a, b := be.Uint64(p[8:]), be.Uint64(q[8:]); a != b {
		return cmp.Compare(a, b)
	}
	return cmp.Compare(be.Uint32(p[16:]), be.Uint32(q[16:]))
}

// Between tells whether x is met on the way from a to b, clockwise: b included and a
// not. From a to a it is once around: everything is met.
func Between(a, x, b Place) bool {
	ab, ax, xb := a.Compare(b), a.Compare(x), x.Compare(b)
	switch {
	case ab < 0:
		return ax < 0 && xb <= 0
	case ab > 0:
		return ax < 0 || xb <= 0
	}
	return true
}

// Inside is Between without b; from a to a it is all but a.
func Inside(a, x, b Place) bool { return x != b && Between(a, x, b) }

// Plus returns p + 2^k on the circle, where finger k of a node at p begins, k from 0
// to n - 1.
func (c Circle) Plus(p Place, k int) Place {
	carry := uint(1) << (k % 8)
	for i := size - 1 - k/8; i >= 0 && carry != 0; i-- {
		sum := uint(p[i]) + carry
		p[i], carry = byte(sum), sum>>8
	}
	return c.cut(p)
}

// Distance returns how far b is from a, clockwise: b - a modulo 2^n.
func (c Circle) Distance(a, b Place) Place {
	var d Place
	borrow := uint(0)
	for i := size - 1; i >= 0; i-- {
		diff := uint(b[i]) - uint(a[i]) - borrow
		d[i], borrow = byte(diff), diff>>8&1
	}
	return c.cut(d)
}

// Log returns the largest k for which 2^k is at most p; -1 for place 0. Of a distance
// it says within reach of which finger it is.
func (p Place) Log() int {
	for i := range p {
		if p[i] != 0 {
			return 8*(size-1-i) + bits.Len8(p[i]) - 1
		}
	}
	return -1
}
