package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Whatever a command prints, it has not done its work when that got nowhere.
func TestLostOutputIsAFailure(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer full.Close()
	for _, args := range []string{"--help", "get --help", "help", "help environment", "help json", "version", "version --json", "completion bash", "demo --keys 1"} {
		var stderr strings.Builder
		cmd := exec.Command("torc", strings.Fields(args)...)
		cmd.Stdout, cmd.Stderr = full, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("torc %s: %v, %s", args, err, &stderr)
		}
	}
}
