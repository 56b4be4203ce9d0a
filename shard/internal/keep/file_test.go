package keep

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/torc-dht/torc/shard/slots"
)

func mustOpen(t testing.TB, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustLead(t testing.TB, k Keeper) Reign {
	t.Helper()
	r, err := k.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustSave(t testing.TB, r Reign, m *slots.Map) {
	t.Helper()
	if err := r.Save(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// expectLast fails unless the reign began with the map of this counter; 0 is none.
func expectLast(t testing.TB, r Reign, counter uint64) {
	t.Helper()
	switch m := r.Last(); {
	case m == nil && counter != 0:
		t.Errorf("there is no map, want %d", counter)
	case m != nil && m.Epoch.Counter != counter:
		t.Errorf("the last map is %d, want %d", m.Epoch.Counter, counter)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	f := mustOpen(t, path)
	r := mustLead(t, f)
	expectLast(t, r, 0)
	if !r.Leads() || r.Err() != nil {
		t.Error("who has the file doesn't lead:", r.Err())
	}
	mustSave(t, r, mapOf(1, 1))
	mustSave(t, r, mapOf(2, 2))
	r.Resign()
	<-r.Over()
	if err := r.Save(t.Context(), mapOf(2, 3)); !errors.Is(err, ErrOver) || r.Leads() {
		t.Error("a map is saved after the reign:", err)
	}
	expectLast(t, mustLead(t, f), 2)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Lead(t.Context()); err == nil {
		t.Error("a closed file leads")
	}
	expectLast(t, mustLead(t, mustOpen(t, path)), 2)
}

// Whoever stops anywhere in a write leaves the map before or the map after, and the
// next one goes on from there.
func TestFileStopsAnywhere(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	for at := created; at < steps; at++ {
		t.Run(fmt.Sprint(int(at)), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state")
			f := mustOpen(t, path)
			r := mustLead(t, f)
			mustSave(t, r, mapOf(1, 1))
			f.saved = func(s step) error {
				if s == at {
					return stop
				}
				return nil
			}
			if err := r.Save(t.Context(), mapOf(2, 2)); !errors.Is(err, stop) {
				t.Fatal(err)
			}
			want := uint64(1)
			if at >= renamed {
				want = 2
			}
			if at == written { // and the machine has stopped: nothing of it is on the disk
				if err := os.Truncate(path+newSuffix, 100); err != nil {
					t.Fatal(err)
				}
			}
			f.saved = nil
			if at == folderSynced {
				if err := r.Save(t.Context(), mapOf(3, 3)); err == nil {
					t.Error("it goes on although the folder couldn't be synced")
				}
			}
			f.Close()
			r = mustLead(t, mustOpen(t, path))
			expectLast(t, r, want)
			mustSave(t, r, mapOf(3, 3))
			if m, err := readFile(path); err != nil || m.Epoch.Counter != 3 {
				t.Error("the next one can't write:", err)
			}
		})
	}
}

// After an error a map, or a later one, can be saved again.
func TestFileSavesAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	f := mustOpen(t, path)
	r := mustLead(t, f)
	full := errors.New("no space left")
	f.saved = func(s step) error {
		if s == written {
			return full
		}
		return nil
	}
	if err := r.Save(t.Context(), mapOf(1, 1)); !errors.Is(err, full) || !r.Leads() {
		t.Fatal(err)
	}
	f.saved = nil
	mustSave(t, r, mapOf(1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Save(ctx, mapOf(2, 2)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFileRefuses(t *testing.T) {
	t.Parallel()
	whole := mustEncode(t, record{writer: 42, number: 7, last: mapOf(3, 3)})
	newer := append([]byte(magic), recordFormat+1)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":   {nil, "damaged: it has 0 bytes only: move it away, and the master will ask"},
		"torn":    {whole[:len(whole)/2], "damaged: its checksum is wrong: move it away"},
		"no map":  {mustEncode(t, record{writer: 42}), "damaged: it has no map"},
		"foreign": {[]byte("# my notes\nbuy milk"), `not a map of torc's: it begins with "# my not": name another file`},
		"newer":   {newer, "a newer torc wrote it: its format is 2, and this one knows 1: start that torc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the lock is given back
				_, err := OpenFile(path)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want %q", err, c.want)
				}
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != string(c.content) {
				t.Error("what was refused has changed", err)
			}
		})
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none", "state"): "make it first",
		t.TempDir(): "can't be read",
	} {
		if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// The file may be named by a link, which stays one; and whoever names the file
// itself names the same one.
func TestFileByLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "state"), filepath.Join(t.TempDir(), "link")
	mustSave(t, mustLead(t, mustOpen(t, path)), mapOf(1, 1))
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(link); err == nil {
		t.Fatal("two have one file, by two names")
	}
}

// lockEnv makes the test binary a process that holds a file until it is killed.
const lockEnv = "KEEP_TEST_LOCK"

func holdFile(path string) int {
	f, err := OpenFile(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test is gone
	f.Close()
	return 0
}

func TestFileLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), lockEnv+"="+path)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatal(line, err)
	}
	want := fmt.Sprintf("is in use by process %d:", other.Process.Pid)
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("%v, want %q", err, want)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	mustOpen(t, path)
}

func BenchmarkFileSave(b *testing.B) {
	for _, servers := range []int{3, 12, 100} {
		b.Run(fmt.Sprintf("servers=%d", servers), func(b *testing.B) {
			r := mustLead(b, mustOpen(b, filepath.Join(benchDir(b), "state")))
			m := mapOf(servers, 1)
			b.SetBytes(int64(len(mustEncode(b, record{last: m}))))
			for b.Loop() {
				mustSave(b, r, m)
			}
		})
	}
}

// benchDir is a folder on a disk, which the temporary folder may not be on.
func benchDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
