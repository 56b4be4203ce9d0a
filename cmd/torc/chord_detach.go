package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/torc-dht/torc/internal/crash"
)

// detachedFlag is the hidden flag of a node that another one has started for --detach.
const detachedFlag = "detached"

// readyFD is where such a node says that it has joined.
const readyFD = 3

// runDetached starts the same node in the background, and returns when it has joined.
// What goes wrong until then is for the same standard error; the node's exit code is
// this process's.
func runDetached(cmd *cobra.Command, args []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	words := strings.Fields(cmd.CommandPath())[1:]
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "detach" {
			words = append(words, "--"+f.Name+"="+f.Value.String())
		}
	})
	words = append(append(words, "--"+detachedFlag, "--"), args...)
	ready, said, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	node := exec.Command(exe, words...)
	node.Args[0] = os.Args[0] // by which it knows which program it is
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TORC_DETACH=") {
			node.Env = append(node.Env, v)
		}
	}
	node.Stderr, node.ExtraFiles, node.SysProcAttr = os.Stderr, []*os.File{said}, ownSession()
	err = node.Start()
	_ = said.Close()
	if err != nil {
		return err
	}
	joined := make(chan bool, 1)
	go func() {
		defer crash.Guard()
		n, _ := ready.Read(make([]byte, 1)) // nothing comes if it has ended
		joined <- n == 1
	}()
	select {
	case ok := <-joined:
		if ok {
			return node.Process.Release()
		}
	case <-cmd.Context().Done():
		_ = node.Process.Signal(syscall.SIGTERM)
		<-joined
	}
	if err := node.Wait(); err == nil {
		return errors.New("the node has ended")
	}
	return &saidError{errors.New("the node could not join")}
}

// goOn has this process write into a log from now on, and tells who started it that
// it is on its own.
func goOn(log string) error {
	to, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := replaceStderr(to); err != nil {
		return err
	}
	starter := os.NewFile(readyFD, "starter")
	_, err = starter.Write([]byte{'.'})
	return errors.Join(err, starter.Close())
}
