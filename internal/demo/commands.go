package demo

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/script"
)

// runCommands runs the commands file, and lets things happen in its first two
// SLEEPs.
func (d *demo) runCommands(ctx context.Context) error {
	events := []func(context.Context) error{d.kill, d.revive}
	d.began = time.Now()
	d.heading("A commands file runs; in its SLEEPs, things happen")
	failed := 0
	for _, line := range d.Commands {
		var event func(context.Context) error
		if line.Op == script.Sleep && len(events) > 0 {
			event, events = events[0], events[1:]
		}
		ok, err := d.runCommand(ctx, line, event)
		if err != nil {
			return err
		}
		if !ok {
			failed++
		}
	}
	d.promise(failed == 0, "no command of the file fails", "%d of %d failed", failed, len(d.Commands))
	for _, event := range events { // a file with fewer SLEEPs
		if err := event(ctx); err != nil {
			return err
		}
	}
	return nil
}

// runCommand runs one line, and event while it runs, if there is one: after a
// third of the SLEEP, so that both sides of it can be seen.
func (d *demo) runCommand(ctx context.Context, line script.Line, event func(context.Context) error) (ok bool, err error) {
	var stdout, stderr bytes.Buffer
	r := script.Runner{Table: d.table, Name: "commands.txt", Stdout: &stdout, Stderr: &stderr}
	type result struct {
		failed int
		err    error
	}
	began := time.Now()
	ended := make(chan result, 1)
	go func() {
		defer crash.Guard()
		failed, err := r.Run(ctx, script.Script{line})
		ended <- result{failed, err}
	}()
	if event != nil {
		d.at(began, "%s", d.Style.Dim(line.String()))
		select {
		case <-time.After(line.Sleep / 3):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if err := event(ctx); err != nil {
			return false, err
		}
	}
	res := <-ended
	if res.err != nil || event != nil {
		return res.failed == 0, res.err
	}
	d.showCommand(ctx, began, line, strings.TrimSuffix(stdout.String(), "\n"), strings.TrimSpace(stderr.String()))
	return res.failed == 0, nil
}

// showCommand prints what a command did, and at which server.
func (d *demo) showCommand(ctx context.Context, began time.Time, line script.Line, value, complaint string) {
	if line.Op == script.Sleep {
		d.at(began, "%s", d.Style.Dim(line.String()))
		return
	}
	where := "nowhere"
	if at, err := places(ctx, d.table, []string{line.Key}); err == nil {
		for i, addr := range d.servers.Addrs() {
			if addr == at[line.Key] {
				where = d.number(i)
			}
		}
	}
	text := value
	switch {
	case complaint != "":
		text = d.Style.Bad(complaint)
	case line.Op == script.Put:
		text = d.Style.Dim(line.Value)
	case value == "":
		text = d.Style.Warn("(no value)")
	}
	d.at(began, "%s  %s  %s", fmt.Sprintf("%-4s%-9s", strings.ToUpper(line.Op.String()), line.Key), where, text)
}
