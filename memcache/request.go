package memcache

import (
	"bytes"
	"math"
)

// Op is what a request asks for. Text and meta commands that ask for the same
// have one Op: a handler need not know in which form a request came.
type Op uint8

// The operations, and the commands that ask for them.
const (
	OpNone    Op = iota
	OpGet        // get, gets, gat, gats, mg
	OpSet        // set, add, replace, append, prepend, cas, ms
	OpDelete     // delete, md
	OpIncr       // incr, decr, ma
	OpTouch      // touch
	OpInspect    // me
	OpFlush      // flush_all
	OpStats      // stats
	OpDump       // lru_crawler metadump
	OpTune       // verbosity, lru_crawler enable, and whatever else tunes memcached's machinery
	OpNoop       // mn; the server answers it
	OpVersion    // version
	OpQuit       // quit; the server carries it out
)

// Request is one command, parsed. Its slices are good until ServeMemcache
// returns, except for Value, which is the handler's to keep.
type Request struct {
	Op Op
	// Keys are the keys of an OpGet, at least one unless it is a gat without
	// keys; Key is the first of them, and the key of every other operation that
	// has one. A key that came base64-encoded is here decoded.
	Keys [][]byte
	Key  []byte
	// BinaryKey says that the key came, and will be shown, base64-encoded.
	BinaryKey bool
	// Mode is how an OpSet stores. HasCAS goes with any mode.
	Mode  Mode
	Value []byte
	Flags uint32
	// MaxValue is the server's MaxItemSize: no append may grow a value beyond
	// it; 0 is no limit.
	MaxValue int
	// Exptime is a time as the protocol has it, see [ExpiresAt]. Touch says
	// that one was given, where that makes a difference: an OpGet with Touch is
	// a get and touch.
	Exptime int32
	Touch   bool
	// CAS is what the item's has to be, if HasCAS.
	CAS    uint64
	HasCAS bool
	// Invalidate turns an OpDelete into a mark that the item is stale, and lets
	// an OpSet with a CAS that is too low store a value marked so.
	Invalidate bool
	// Vivify makes an OpGet or OpIncr that finds nothing create an item that
	// expires at VivifyExptime, with the value Initial if it is an OpIncr.
	Vivify        bool
	VivifyExptime int32
	Initial       uint64
	// Delta is how much an OpIncr adds or, if Decr, subtracts.
	Delta uint64
	Decr  bool
	// Recache makes an OpGet win the right to recache an item whose time to
	// live is below RecacheExptime.
	Recache        bool
	RecacheExptime int32
	// NoBump makes an OpGet leave the order of use as it is.
	NoBump bool
	// Noreply suppresses the usual answer. The ResponseWriter sees to it.
	Noreply bool
	// Redirect says that who asks wants to know where something is, and not have
	// it fetched from there: see Config.Redirect.
	Redirect bool
	// Args are the arguments of OpStats and OpDump.
	Args [][]byte

	// dataLen is the length of the value that follows the line of an OpSet.
	dataLen int
	form    form
	// tokens are the flags of a meta command in the order in which they came,
	// since the answer has them in that order.
	tokens [][]byte
	fields [maxFields][]byte
	keyBuf [MaxKeyLen]byte // of a key that came base64-encoded
}

// form is how a command was written, and so how its answer is.
type form uint8

const (
	formText    form = iota
	formTextCAS      // gets, gats: the answer shows the CAS
	formMeta
	formMetaValue // with the v flag: the answer has the value
)

func (f form) meta() bool { return f >= formMeta }

const (
	// maxFields is how many words of a line are told apart, as in memcached;
	// only gets have more.
	maxFields = 23
	// maxMetaFields is the most that a meta command may have.
	maxMetaFields = 19
	// maxOpaque is the longest opaque, its O included.
	maxOpaque = 32
	// keepKeys is how many keys' room a request keeps for the next one.
	keepKeys = 128
)

// reset forgets the last request and keeps its room.
func (r *Request) reset() {
	keys, tokens := r.Keys[:0], r.tokens[:0]
	if cap(keys) > keepKeys {
		keys = nil
	}
	// Field by field would be faster to run and a trap for the next field.
	*r = Request{Keys: keys, tokens: tokens}
}

// RequestError is a line that is no command. Its text is the line that
// memcached answers.
type RequestError struct{ Answer string }

func (e *RequestError) Error() string { return e.Answer }

var (
	errNoCommand     = &RequestError{"ERROR"}
	errFormat        = &RequestError{"CLIENT_ERROR bad command line format"}
	errExptime       = &RequestError{"CLIENT_ERROR invalid exptime argument"}
	errDelta         = &RequestError{"CLIENT_ERROR invalid numeric delta argument"}
	errDeleteUsage   = &RequestError{"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"}
	errNoShutdown    = &RequestError{"ERROR: shutdown not enabled"}
	errNoWatch       = &RequestError{"CLIENT_ERROR watch commands not allowed"}
	errNoReassign    = &RequestError{"CLIENT_ERROR slab reassignment disabled"}
	errCrawlerSleep  = &RequestError{"CLIENT_ERROR sleep must be one second or less"}
	errBadClass      = &RequestError{"BADCLASS invalid class id"}
	errTooLarge      = &RequestError{"SERVER_ERROR object too large for cache"}
	errBadChunk      = &RequestError{"CLIENT_ERROR bad data chunk"}
	errLineTooLong   = &RequestError{"CLIENT_ERROR line too long"}
	errHTTP          = &RequestError{"CLIENT_ERROR this is not an HTTP server"}
	errTooManyConns  = &RequestError{"ERROR Too many open connections"}
	errHandlerSilent = &RequestError{"SERVER_ERROR the handler gave no answer"}
)

// command is one command's name, the number of words it takes, its name
// included, and what makes a Request of them.
type command struct {
	least, most int
	parse       func(r *Request, f [][]byte) error
}

const anyNumber = math.MaxInt

func commandNamed(name []byte) (command, bool) {
	switch string(name) { // a switch on bytes allocates nothing, and is faster than a map
	case "mg":
		return command{2, anyNumber, parseMetaGet}, true
	case "ms":
		return command{2, anyNumber, parseMetaSet}, true
	case "md":
		return command{2, anyNumber, parseMetaDelete}, true
	case "ma":
		return command{2, anyNumber, parseMetaArithmetic}, true
	case "me":
		return command{1, anyNumber, parseMetaInspect}, true
	case "mn":
		return command{1, anyNumber, func(r *Request, _ [][]byte) error { r.Op = OpNoop; return nil }}, true
	case "set":
		return command{5, 6, func(r *Request, f [][]byte) error { return parseStorage(r, f, ModeSet) }}, true
	case "add":
		return command{5, 6, func(r *Request, f [][]byte) error { return parseStorage(r, f, ModeAdd) }}, true
	case "replace":
		return command{5, 6, func(r *Request, f [][]byte) error { return parseStorage(r, f, ModeReplace) }}, true
	case "append":
		return command{5, 6, func(r *Request, f [][]byte) error { return parseStorage(r, f, ModeAppend) }}, true
	case "prepend":
		return command{5, 6, func(r *Request, f [][]byte) error { return parseStorage(r, f, ModePrepend) }}, true
	case "cas":
		return command{6, 7, func(r *Request, f [][]byte) error { return parseStorage(r, f, ModeCAS) }}, true
	case "incr":
		return command{3, 4, parseArithmetic}, true
	case "decr":
		return command{3, 4, func(r *Request, f [][]byte) error { r.Decr = true; return parseArithmetic(r, f) }}, true
	case "delete":
		return command{2, 4, parseDelete}, true
	case "touch":
		return command{3, 4, parseTouch}, true
	case "flush_all":
		return command{1, 3, parseFlush}, true
	case "stats":
		return command{1, anyNumber, func(r *Request, f [][]byte) error { r.Op, r.Args = OpStats, f[1:]; return nil }}, true
	case "version":
		return command{1, anyNumber, func(r *Request, _ [][]byte) error { r.Op = OpVersion; return nil }}, true
	case "quit":
		return command{1, anyNumber, func(r *Request, _ [][]byte) error { r.Op = OpQuit; return nil }}, true
	case "verbosity":
		return command{2, 3, parseVerbosity}, true
	case "lru_crawler":
		return command{1, anyNumber, parseCrawler}, true
	case "slabs":
		return command{1, anyNumber, parseSlabs}, true
	case "watch":
		return command{1, anyNumber, func(*Request, [][]byte) error { return errNoWatch }}, true
	case "shutdown":
		return command{1, anyNumber, func(*Request, [][]byte) error { return errNoShutdown }}, true
	}
	return command{}, false
}

// ParseRequest parses one command line, given without its line end, into r and
// forgets what r was before. r keeps slices of line. It does no I/O, takes no
// more memory than the line's length demands, and never panics.
//
// An error is a *[RequestError], to be answered unless r.Noreply. When the line
// announces a value, DataLen says how long it is; a caller has to read past
// it even after an error.
func ParseRequest(line []byte, r *Request) error {
	r.reset()
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i] // memcached's lines are C strings
	}
	name, rest := nextField(line)
	switch string(name) {
	case "get", "gets", "gat", "gats":
		return parseGet(r, name, rest)
	}
	if len(name) < 2 {
		return errNoCommand
	}
	n := 0
	for rest = line; n < maxFields; n++ {
		if name, rest = nextField(rest); name == nil {
			break
		}
		r.fields[n] = name
	}
	f := r.fields[:n]
	c, ok := commandNamed(f[0])
	if !ok && bytes.HasPrefix(f[n-1], []byte("HTTP/")) {
		return errHTTP
	}
	if !ok || n < c.least || n > c.most {
		return errNoCommand
	}
	return c.parse(r, f)
}

// Meta says that it came as a meta command, whose answer may have to show more than
// what came of it.
func (r *Request) Meta() bool { return r.form.meta() }

// DataLen is the length of the value that follows the command line, without the
// line end after it, and whether there is one.
func (r *Request) DataLen() (n int, ok bool) {
	if r.Op != OpSet {
		return 0, false
	}
	return r.dataLen, true
}

// nextField cuts the first word off line. Spaces alone separate words. It is nil
// if there is none.
func nextField(line []byte) (field, rest []byte) {
	for len(line) > 0 && line[0] == ' ' {
		line = line[1:]
	}
	if len(line) == 0 {
		return nil, nil
	}
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		return line[:i], line[i:]
	}
	return line, nil
}

func parseGet(r *Request, name, rest []byte) error {
	r.Op = OpGet
	if name[len(name)-1] == 's' {
		r.form = formTextCAS
	}
	first, more := nextField(rest)
	if first == nil {
		return errNoCommand
	}
	if name[1] == 'a' {
		exptime, ok := cInt32(first)
		if !ok {
			return errExptime
		}
		r.Touch, r.Exptime = true, exptime
		first, more = nextField(more)
	}
	for key := first; key != nil; key, more = nextField(more) {
		if len(key) > MaxKeyLen {
			return errFormat
		}
		r.Keys = append(r.Keys, key)
	}
	if len(r.Keys) > 0 {
		r.Key = r.Keys[0]
	}
	return nil
}

// setKey takes the key of a text command.
func (r *Request) setKey(key []byte) error {
	if len(key) > MaxKeyLen {
		return errFormat
	}
	r.Key = key
	return nil
}

// setNoreply looks for noreply in the last word, wherever that is: so does
// memcached.
func (r *Request) setNoreply(f [][]byte) { r.Noreply = string(f[len(f)-1]) == "noreply" }

func parseStorage(r *Request, f [][]byte, mode Mode) error {
	r.setNoreply(f)
	if err := r.setKey(f[1]); err != nil {
		return err
	}
	flags, ok1 := cUint32(f[2])
	exptime, ok2 := cInt32(f[3])
	n, ok3 := cInt32(f[4])
	if !ok1 || !ok2 || !ok3 {
		return errFormat
	}
	if mode == ModeCAS {
		var ok bool
		if r.CAS, ok = cUint64(f[5]); !ok {
			return errFormat
		}
		r.HasCAS = true
	}
	if n < 0 || n > math.MaxInt32-2 {
		return errFormat
	}
	r.Op, r.Mode, r.Flags, r.Exptime, r.dataLen = OpSet, mode, flags, exptime, int(n)
	return nil
}

func parseArithmetic(r *Request, f [][]byte) error {
	r.setNoreply(f)
	if err := r.setKey(f[1]); err != nil {
		return err
	}
	var ok bool
	if r.Delta, ok = cUint64(f[2]); !ok {
		return errDelta
	}
	r.Op = OpIncr
	return nil
}

func parseTouch(r *Request, f [][]byte) error {
	r.setNoreply(f)
	if err := r.setKey(f[1]); err != nil {
		return err
	}
	var ok bool
	if r.Exptime, ok = cInt32(f[2]); !ok {
		return errExptime
	}
	r.Op, r.Touch = OpTouch, true
	return nil
}

// parseDelete takes a time of 0 between key and noreply, as clients of old sent.
func parseDelete(r *Request, f [][]byte) error {
	if len(f) > 2 {
		zero := string(f[2]) == "0"
		r.setNoreply(f)
		if len(f) == 3 && !zero && !r.Noreply || len(f) == 4 && !(zero && r.Noreply) {
			return errDeleteUsage
		}
	}
	r.Op = OpDelete
	return r.setKey(f[1])
}

func parseFlush(r *Request, f [][]byte) error {
	r.setNoreply(f)
	r.Op = OpFlush
	if len(f) == 1 || len(f) == 2 && r.Noreply {
		return nil
	}
	var ok bool
	if r.Exptime, ok = cInt32(f[1]); !ok {
		return errExptime
	}
	return nil
}

func parseVerbosity(r *Request, f [][]byte) error {
	r.setNoreply(f)
	r.Op = OpTune
	if _, ok := cUint32(f[1]); !ok {
		return errFormat
	}
	return nil
}

// parseCrawler parses what follows lru_crawler. There is no crawler here, so
// that what tunes it is accepted and does nothing.
func parseCrawler(r *Request, f [][]byte) error {
	r.Op = OpTune
	switch {
	case len(f) == 2 && (string(f[1]) == "enable" || string(f[1]) == "disable"):
		return nil
	case len(f) != 3:
		return errNoCommand
	}
	switch string(f[1]) {
	case "metadump", "crawl":
		// All items are of one class, which memcached would call 1.
		switch string(f[2]) {
		case "all", "hash", "1":
		default:
			return errBadClass
		}
		if string(f[1]) == "metadump" {
			r.Op, r.Args = OpDump, f[2:]
		}
		return nil
	case "tocrawl", "sleep":
		n, ok := cUint32(f[2])
		if !ok {
			return errFormat
		}
		if n > 1000000 && string(f[1]) == "sleep" {
			return errCrawlerSleep
		}
		return nil
	}
	return errNoCommand
}

// parseSlabs parses what follows slabs. There are none here either.
func parseSlabs(r *Request, f [][]byte) error {
	if len(f) == 4 && string(f[1]) == "reassign" {
		return errNoReassign
	}
	if len(f) < 3 || string(f[1]) != "automove" {
		return errNoCommand
	}
	r.Op = OpTune
	r.setNoreply(f)
	if level, ok := cUint32(f[2]); !ok {
		return errFormat
	} else if level > 2 {
		return errNoCommand
	}
	return nil
}
