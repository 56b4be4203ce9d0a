package shard

import (
	"os"
	"os/exec"
	"testing"
)

// The scenarios that anyone can run.
func TestScript(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "../shard.sh")
	cmd.Env = append(os.Environ(), "BIN="+bin)
	out, err := cmd.CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Error(err)
	}
}
