package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc"
)

// MaxWeight is the largest weight of a server.
const MaxWeight = 1_000_000

// NewFileList returns the list in the file at path, as [ParseList] reads it.
// While the list is followed the file is looked at each second, and what has
// changed there, and stands for a second, changes the list. A file that can't be
// read changes nothing, and one with a mistake in it nothing either, and is logged.
func NewFileList(cfg ListConfig, path string) (*List, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: the list of servers: %w", torc.ErrInvalid, err)
	}
	servers, err := ParseList(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", torc.ErrInvalid, path, err)
	}
	l, err := NewList(cfg, servers)
	if err != nil {
		return nil, err
	}
	l.path = path
	return l, nil
}

// ParseList reads a list of servers: a line for each, with its host:port and, if
// it isn't 1, its weight. Blank lines and what follows a # are passed over. The
// error names every line that is wrong.
func ParseList(text []byte) ([]Server, error) {
	var servers []Server
	var errs []error
	seen := make(map[string]int)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		s, ok, err := parseListLine(line)
		if err == nil && ok && seen[s.Addr] > 0 {
			err = fmt.Errorf("%s is on line %d already", s.Addr, seen[s.Addr])
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
		case ok:
			seen[s.Addr] = n
			servers = append(servers, s)
		}
	}
	return servers, errors.Join(errs...)
}

// parseListLine reads one line; ok is false when it names no server.
func parseListLine(line string) (s Server, ok bool, err error) {
	line, _, _ = strings.Cut(line, "#")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return Server{}, false, nil
	}
	s = Server{Addr: fields[0], Weight: 1}
	if err := torc.CheckAddr(s.Addr); err != nil {
		return Server{}, false, err
	}
	switch len(fields) {
	case 1:
	case 2:
		s.Weight, err = parseWeight(fields[1])
	default:
		err = errors.New("a line has an address and at most a weight")
	}
	return s, err == nil, err
}

func parseWeight(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < 1 || n > MaxWeight {
		return 0, fmt.Errorf("%q is not a weight: a number from 1 to %d", s, MaxWeight)
	}
	return uint32(n), nil
}

// fileInterval is how often a list's file is looked at.
const fileInterval = time.Second

// followFile brings the list in line with its file until ctx is done.
//
// A change counts when the file reads the same for the second time: an editor
// that writes in place empties the file first, and a list that went by that
// would leave out servers, and flush them when they are back.
func (l *List) followFile(ctx context.Context) {
	tick := time.NewTicker(fileInterval)
	defer tick.Stop()
	seen, _ := os.ReadFile(l.path)
	taken := false // seen counts already
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text, err := os.ReadFile(l.path)
		switch {
		case err != nil:
		case !bytes.Equal(text, seen):
			seen, taken = text, false
		case !taken:
			taken = l.take(text)
		}
	}
}

// take makes text, which the file held just now, the list. It returns false if
// the file, and maybe the list with it, has changed since.
func (l *List) take(text []byte) bool {
	servers, err := ParseList(text)
	if err != nil {
		slog.Warn("torc: the list of servers has a mistake; going on with the one before", "file", l.path, "error", err)
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now, err := os.ReadFile(l.path); err != nil || !bytes.Equal(now, text) {
		return false
	}
	l.replaceLocked(servers)
	return true
}

// replaceLocked makes servers the list, leaving alone what stays as it was.
func (l *List) replaceLocked(servers []Server) {
	weights := make(map[string]uint32, len(servers))
	for _, s := range servers {
		weights[s.Addr] = s.Weight
	}
	for addr, s := range l.mu.servers {
		switch weight := weights[addr]; {
		case weight == 0 && s.Drained: // Drain has removed its line
		case weight == 0:
			l.removeLocked(addr)
		case weight != s.Weight || s.Drained:
			s.Weight, s.Drained = weight, false
			l.changedLocked()
		}
	}
	for _, s := range servers {
		if l.mu.servers[s.Addr] == nil {
			l.addLocked(s)
		}
	}
}

// addToFile appends a line for s to the file at path.
func addToFile(path string, s Server) error {
	return rewrite(path, func(text string) string {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += s.Addr
		if s.Weight != 1 {
			text += " " + strconv.FormatUint(uint64(s.Weight), 10)
		}
		return text + "\n"
	})
}

// removeFromFile drops addr's line from the file at path and keeps all others.
func removeFromFile(path, addr string) error {
	return rewrite(path, func(text string) string {
		var kept strings.Builder
		for line := range strings.Lines(text) {
			if s, ok, _ := parseListLine(line); !ok || s.Addr != addr {
				kept.WriteString(line)
			}
		}
		return kept.String()
	})
}

// rewrite replaces the file at path, at once and as a whole, with what change
// makes of its text.
func rewrite(path string, change func(string) string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(change(string(text)))
	if info, statErr := os.Stat(path); err == nil && statErr == nil {
		err = tmp.Chmod(info.Mode())
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
