package chord

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a test leaves a goroutine. In a process that a benchmark has
// started it is a node, or a server to compare with.
func TestMain(m *testing.M) {
	if what := os.Getenv(childVariable); what != "" {
		runChild(what)
		return
	}
	goleak.VerifyTestMain(m)
}
