package script

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc"
)

const (
	// MaxLineLen is the longest line, in bytes without its end: a value of 1 MiB,
	// the most that a memcached takes by default, and room to double it.
	MaxLineLen = 2 << 20
	// MaxSleep is the longest SLEEP. A longer one is more likely a number in
	// another unit than a wish.
	MaxSleep = 24 * time.Hour
)

// Op is what a command does.
type Op uint8

// The commands. Nothing is what a blank line or a comment asks for.
const (
	Nothing Op = iota
	Get
	Put
	Delete
	Sleep
)

var opNames = [...]string{Nothing: "", Get: "get", Put: "put", Delete: "delete", Sleep: "sleep"}

func (o Op) String() string { return opNames[o] }

// Command is one line of a commands file.
type Command struct {
	Op    Op
	Key   string        // of Get, Put and Delete
	Value string        // of Put
	Sleep time.Duration // of Sleep
}

// String formats c as a line that parses to c.
func (c Command) String() string {
	switch c.Op {
	case Nothing:
		return ""
	case Put:
		return "PUT " + c.Key + ", " + c.Value
	case Sleep:
		return "SLEEP " + strconv.FormatInt(c.Sleep.Milliseconds(), 10)
	default:
		return strings.ToUpper(c.Op.String()) + " " + c.Key
	}
}

// blanks are what does not count around words, keys and values. The line's end
// is among them.
const blanks = " \t\r\n"

// ParseLine parses one line, with or without its end. A blank line or a comment
// is a Command with Op Nothing. The error says in a few words what is wrong and
// how to write it.
func ParseLine(line string) (Command, error) {
	line = strings.Trim(line, blanks)
	if line == "" || line[0] == '#' {
		return Command{}, nil
	}
	if len(line) > MaxLineLen {
		return Command{}, errLineTooLong
	}
	word, rest := line, ""
	if i := strings.IndexAny(line, blanks); i >= 0 {
		word, rest = line[:i], strings.TrimLeft(line[i:], blanks)
	}
	switch {
	case strings.EqualFold(word, "GET"):
		return keyed(Get, rest)
	case strings.EqualFold(word, "DELETE"):
		return keyed(Delete, rest)
	case strings.EqualFold(word, "PUT"):
		return parsePut(rest)
	case strings.EqualFold(word, "SLEEP"):
		return parseSleep(rest)
	}
	return Command{}, fmt.Errorf("%s is not a command: write GET key, PUT key, value, DELETE key or SLEEP milliseconds", torc.QuoteKey(word))
}

var errLineTooLong = fmt.Errorf("the line has more than %d bytes", MaxLineLen)

func keyed(op Op, key string) (Command, error) {
	if key == "" {
		word := strings.ToUpper(op.String())
		return Command{}, fmt.Errorf("%s needs a key: %s key", word, word)
	}
	if err := torc.CheckKey(key); err != nil {
		return Command{}, err
	}
	return Command{Op: op, Key: key}, nil
}

func parsePut(rest string) (Command, error) {
	key, value, comma := strings.Cut(rest, ",")
	key = strings.TrimRight(key, blanks)
	if !comma {
		return Command{}, errors.New("PUT needs a comma: PUT key, value")
	}
	if key == "" {
		return Command{}, errors.New("PUT needs a key before the comma: PUT key, value")
	}
	if err := torc.CheckKey(key); err != nil {
		return Command{}, err
	}
	return Command{Op: Put, Key: key, Value: strings.TrimLeft(value, blanks)}, nil
}

func parseSleep(rest string) (Command, error) {
	if rest == "" {
		return Command{}, errors.New("SLEEP needs a time: SLEEP milliseconds")
	}
	ms, err := strconv.ParseUint(rest, 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return Command{}, fmt.Errorf("SLEEP takes a whole number of milliseconds, not %s", torc.QuoteKey(rest))
	}
	if err != nil || ms > uint64(MaxSleep.Milliseconds()) {
		return Command{}, fmt.Errorf("SLEEP takes at most %d milliseconds, which is a day", MaxSleep.Milliseconds())
	}
	return Command{Op: Sleep, Sleep: time.Duration(ms) * time.Millisecond}, nil
}
