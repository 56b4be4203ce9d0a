package replica

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// lastHost is the file that says which of these hosts answered last. Nobody depends
// on it, so what goes wrong with it is not told.
type lastHost struct {
	folder string // "": torc in the user's cache directory
	hosts  []string
}

// path returns where the file is, or "". There is one for each list of hosts,
// whatever their order.
func (l *lastHost) path() string {
	folder := l.folder
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		folder = filepath.Join(cache, "torc")
	}
	list := strings.Join(slices.Sorted(slices.Values(l.hosts)), "\n")
	return filepath.Join(folder, fmt.Sprintf("replica-%.8x", sha256.Sum256([]byte(list))))
}

// read returns the place of the host, or -1.
func (l *lastHost) read() int {
	if path := l.path(); path != "" {
		text, _ := os.ReadFile(path)
		return slices.Index(l.hosts, strings.TrimSpace(string(text)))
	}
	return -1
}

// write notes the place of the host.
func (l *lastHost) write(host int) {
	path := l.path()
	if path == "" || l.read() == host {
		return
	}
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".replica-*")
	if err != nil {
		return
	}
	_, err = f.WriteString(l.hosts[host] + "\n")
	if f.Close() != nil || err != nil || os.Rename(f.Name(), path) != nil {
		_ = os.Remove(f.Name()) // nobody reads it
	}
}
