package shell

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the test binary the shell at a terminal, over a fake ring, when
// a test calls it so.
func TestMain(m *testing.M) {
	if os.Getenv("SHELL_TEST_CHILD") != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// child is a shell as cmd/torc makes one.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	table := newFakeRing("a:1")
	table.slow = 20 * time.Millisecond
	editor := NewEditor(EditorConfig{Prompt: "> ", History: HistoryFile(os.Getenv), Table: table})
	defer func() { _ = editor.Close() }()
	s := &Shell{Table: table, Input: editor, Stdout: os.Stdout, Stderr: os.Stderr, Timeout: 10 * time.Second, Interrupts: interrupts}
	tally, err := s.Run(ctx)
	fmt.Println("end:", tally, err)
	return 0
}
