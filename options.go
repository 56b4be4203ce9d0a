package torc

import (
	"errors"
	"time"
)

// PutOption is a condition or a property of one Put.
type PutOption func(*PutOptions)

// PutOptions is what a kind of table makes of its caller's options, by
// [ResolvePut]. Callers use the functions that make a PutOption.
type PutOptions struct {
	// TTL is how long the entry lives; 0 means until it is deleted or evicted.
	TTL time.Duration
	// Cond says what must hold for the Put to happen.
	Cond Condition
	// Version is what CondVersion compares with.
	Version Version

	err error
}

// Condition is what must hold for a Put to happen.
type Condition uint8

// The conditions of a Put.
const (
	CondNone    Condition = iota
	CondAbsent            // no entry at the key, else ErrExists
	CondPresent           // an entry at the key, else ErrNotFound
	CondVersion           // the entry named, else ErrConflict or ErrNotFound
)

// IfAbsent makes Put fail with ErrExists if there is an entry at the key.
func IfAbsent() PutOption {
	return func(o *PutOptions) { o.require(CondAbsent, Version{}) }
}

// IfPresent makes Put fail with ErrNotFound if there is no entry at the key.
func IfPresent() PutOption {
	return func(o *PutOptions) { o.require(CondPresent, Version{}) }
}

// IfVersion makes Put fail with ErrConflict if the entry at the key is not the
// one that v names, and with ErrNotFound if there is none.
func IfVersion(v Version) PutOption {
	return func(o *PutOptions) {
		if v == (Version{}) {
			o.fail("IfVersion takes the version of an entry that was read, not the zero version")
		}
		o.require(CondVersion, v)
	}
}

// TTL makes the entry expire d after the Put. Kinds count in whole seconds and
// round up; d must be positive and at most MaxTTL.
func TTL(d time.Duration) PutOption {
	return func(o *PutOptions) {
		if d <= 0 || d > MaxTTL {
			o.fail("a TTL is more than 0 and at most 10 years; without one, an entry does not expire")
		}
		o.TTL = d
	}
}

func (o *PutOptions) require(c Condition, v Version) {
	if o.Cond != CondNone && (o.Cond != c || o.Version != v) {
		o.fail("IfAbsent, IfPresent and IfVersion exclude each other: give one")
	}
	o.Cond, o.Version = c, v
}

// fail keeps the first thing that is wrong.
func (o *PutOptions) fail(what string) {
	if o.err == nil {
		o.err = errors.New(what)
	}
}

// MaxTTL is the longest time to live.
const MaxTTL = 10 * 365 * 24 * time.Hour

// ResolvePut applies opts. The error, if any, wraps ErrInvalid.
func ResolvePut(opts []PutOption) (PutOptions, error) {
	if len(opts) == 0 {
		return PutOptions{}, nil // what follows allocates
	}
	var o PutOptions
	for _, opt := range opts {
		opt(&o)
	}
	if o.err != nil {
		return PutOptions{}, invalid(o.err)
	}
	return o, nil
}
