package chord

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

// The requirement's transcript to the letter, and the same with what chance draws: a
// script that anyone can run.
func TestTranscript(t *testing.T) {
	t.Parallel()
	for range times(1) {
		seed := rand.IntN(1 << 30)
		cmd := exec.CommandContext(t.Context(), "../chord-transcript.sh")
		cmd.Env = append(os.Environ(), "BIN="+bin, fmt.Sprint("SEED=", seed))
		out, err := cmd.CombinedOutput()
		t.Logf("\n%s", out)
		if err != nil {
			t.Fatalf("%v (again: SEED=%d test/chord-transcript.sh)", err, seed)
		}
	}
}
