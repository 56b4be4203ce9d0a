package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/torc-dht/torc/internal/terminal"
)

func TestLogIsALineEach(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	log := newLog(&b, terminal.Style{})
	log.Debug("nobody wants to know")
	log.Info("joined", "server", "h:1", "err", errors.New("one\ntwo"))
	log.With("a", 1).WithGroup("g").Warn("look\n", "b", "two words")
	slog.NewLogLogger(log.Handler(), slog.LevelWarn).Print("from elsewhere")
	lines := strings.Split(b.String(), "\n")
	for i, want := range []string{`joined server=h:1 err="one; two"`, `look a=1 g.b="two words"`, "from elsewhere", ""} {
		if i >= len(lines) || i < 3 && !strings.HasSuffix(lines[i], "  "+want) || i == 3 && lines[i] != "" {
			t.Errorf("line %d of %q is not %q", i+1, b.String(), want)
		}
	}
}
