package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// small is over soon, and too short for figures that mean anything.
var small = plan{turn: 20 * time.Millisecond, rounds: 2, keys: 5000, calm: 100 * time.Millisecond, programs: 2}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := run(t.Context(), dir, small); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "shard.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"| shard://, two servers, two copies |", "| 2 servers and one more, 2 copies | ", "| clt -o GET |"}
	if len(cluster.Missing("redis-server", "redis-tools")) == 0 {
		want = append(want, "| Redis, one server |", "| Redis cluster, 3 masters and one more")
	}
	for _, text := range want {
		if !strings.Contains(string(page), text) {
			t.Errorf("shard.md has no %q in it:\n%s", text, page)
		}
	}
	if left := cluster.Children(); len(left) > 0 {
		t.Errorf("processes are left behind: %v", left)
	}
}

func TestSlotOfRedis(t *testing.T) {
	t.Parallel()
	if got := crc16("123456789"); got != 0x31c3 { // as Redis's specification has it
		t.Errorf("crc16 = %#x", got)
	}
}

func TestReadReply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reply, answer, err string }{
		{"+OK\r\n", "", ""},
		{":5\r\n", "", ""},
		{"$3\r\nabc\r\n", "", ""},
		{"$-1\r\n", errNil.Error(), ""},
		{"-ERR no\r\n", "ERR no", ""},
		{"*1\r\n", "", "a reply that begins with '*'"},
		{"$x\r\n", "", "invalid syntax"},
		{"+OK", "", "EOF"},
	} {
		in := bufio.NewReader(strings.NewReader(c.reply + "rest"))
		answer, err := readReply(in)
		if text(answer) != c.answer || (c.err == "") != (err == nil) || !strings.Contains(text(err), c.err) {
			t.Errorf("%q: %v, %v", c.reply, answer, err)
		}
		if err == nil {
			if rest, _ := in.ReadString(0); rest != "rest" {
				t.Errorf("%q: %q is left", c.reply, rest)
			}
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
