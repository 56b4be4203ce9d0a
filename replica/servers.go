package replica

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// ServersFile is where a server finds its address and those of the others, and a
// client those of the servers, unless told otherwise: in the current directory.
const ServersFile = "servers.txt"

// MaxServers is how many servers a table has at most.
const MaxServers = msg.MaxNodes

// maxServersFile is the largest file that is read as a list of servers, in bytes.
const maxServersFile = 64 << 10

// Servers are the addresses of a table's servers, host:port each, as servers.txt
// has them: at least one, at most MaxServers, none twice. The first is the server
// to which the list belongs. Addresses are names: two spellings of one address are
// two servers.
type Servers []string

// Self returns the address of the server to which the list belongs.
func (s Servers) Self() string { return s[0] }

// Sorted returns the addresses in the order in which every server has them, which
// is their rank.
func (s Servers) Sorted() []string { return slices.Sorted(slices.Values(s)) }

// ReadServers reads the list in the file at path. The error names every line that
// is wrong, and wraps torc.ErrInvalid, and fs.ErrNotExist where there is no file.
func ReadServers(path string) (Servers, error) {
	fail := func(err error) (Servers, error) {
		return nil, fmt.Errorf("%w: the list of servers: %w", torc.ErrInvalid, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxServersFile+1))
	if err != nil {
		return fail(err)
	}
	if len(text) > maxServersFile {
		return fail(fmt.Errorf("%s is larger than %d KiB: it can't be one", path, maxServersFile>>10))
	}
	s, err := ParseServers(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", torc.ErrInvalid, path, err)
	}
	return s, nil
}

// ParseServers reads a list of servers: addresses with white space between, on one
// line or on several. What follows a # is passed over, up to the end of its line,
// and so is a byte order mark. The error names every line that is wrong.
func ParseServers(text []byte) (Servers, error) {
	var servers Servers
	var errs []error
	lines := make(map[string]int) // where each address is first
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		n++
		line, _, _ = strings.Cut(line, "#")
		for addr := range strings.FieldsSeq(line) {
			switch err := torc.CheckAddr(addr); {
			case err != nil:
				errs = append(errs, fmt.Errorf("line %d: %w", n, err))
				continue
			case lines[addr] > 0:
				errs = append(errs, fmt.Errorf("line %d: %s is on line %d already", n, addr, lines[addr]))
				continue
			}
			lines[addr] = n
			if servers = append(servers, addr); len(servers) == MaxServers+1 {
				errs = append(errs, fmt.Errorf("line %d: %s is one server too many: a table has %d at most", n, addr, MaxServers))
			}
		}
	}
	if len(servers) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("it names no server: write host:port of this server, and then of the others"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return servers, nil
}
