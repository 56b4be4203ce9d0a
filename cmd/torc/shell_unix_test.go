//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/internal/console"
)

// A person at dht-shell builds a ring of real memcached servers, fills it, adds a
// server and takes one out.
func TestDHTShellAtATerminal(t *testing.T) {
	t.Parallel()
	cluster.Need(t, "memcached")
	hosts := cluster.ForTest(t, cluster.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var addrs []string
	for _, name := range []string{"A", "B", "C", "D"} {
		if _, err := hosts.Host(name).Memcached(ctx); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, hosts.Host(name).Addr(cluster.MemcachedPort))
	}
	dead := hosts.Host("nobody").Addr(cluster.MemcachedPort)

	path, err := exec.LookPath("dht-shell")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = []string{"TERM=xterm", "HOME=" + t.TempDir()}
	c := console.Start(t, cmd)
	c.Sees("an empty ring: add a node first, with add HOST:PORT; help lists the commands")
	types := func(line, answer string) string {
		t.Helper()
		c.Sees("dht> ")
		c.Types(line + "\r")
		c.Sees("\n") // the line itself
		return c.Sees(answer)
	}
	types("put k v", "add a node first")
	types("add "+dead, "refused")
	for _, addr := range addrs[:3] {
		types("add "+strings.Replace(addr, ":", " ", 1), addr+" added: ")
	}
	types(`put greeting "hello, world"`, "stored at ")
	types("locate greeting", "\n3  ")
	types("fill 10000", "10,000 pairs put in ")
	types("stats", "30,003") // copies
	types("add "+addrs[3], addrs[3]+" added: ")
	types("stats", "30,003")
	types("remove "+addrs[0], addrs[0]+" removed: ")
	types("stats", "30,003")
	types("get greeting", "hello, world\r\n")
	types("keys fill- --limit 1", "fill-")
	c.Sees("dht> ")
	c.Types(console.CtrlD)
	c.Ends()
	if *update {
		record(t, c.Transcript())
	}
}

// record writes docs/figures/shell.md, from what was seen at the terminal.
func record(t *testing.T, transcript string) {
	moved := regexp.MustCompile(`: ([0-9,]+) copied`).FindAllStringSubmatch(transcript, -1)
	const page = `# A session at dht-shell

Up to four memcached servers on one machine, and 10,001 keys with 3 copies each.
When the fourth server comes, ideally one in four of the 30,003 copies moves, to
it: 7,501. When one of four leaves, just those move that it held. Here %s were
copied when it came and %s when another left. To play it anew:
` + "`go test ./cmd/torc -run TestDHTShellAtATerminal -update`" + `

` + "```\n$ dht-shell\n%s```\n"
	text := fmt.Sprintf(page, moved[len(moved)-2][1], moved[len(moved)-1][1], strings.TrimRight(transcript, "\n")+"\n")
	if err := os.WriteFile("../../docs/figures/shell.md", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
