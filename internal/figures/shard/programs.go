package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// program is how long one takes from its start to its exit.
type program struct {
	name       string
	half, most time.Duration // the median, and what 99 of 100 don't exceed
}

// measurePrograms runs clients that get one key, by turns.
func measurePrograms(ctx context.Context, m *machine, p plan, redis bool) ([]program, error) {
	s, err := m.startTable(ctx, "clt", 2, 2)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.master)
	if err != nil {
		return nil, err
	}
	clt := filepath.Join(m.bin, "clt")
	commands := [][]string{
		{clt, "-o", "GET", "-k", "1", "--host", host, "-m", port},
		{clt, "-o", "PUT", "-k", "1", "-v", "1000", "--host", host, "-m", port},
	}
	names := []string{"clt -o GET", "clt -o PUT"}
	if redis {
		addr := m.Host("redis").Addr(6379)
		c, err := startRedis(ctx, m)
		if err != nil {
			return nil, err
		}
		_ = c.close() // redis-cli makes its own connection
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		commands = append(commands, []string{"redis-cli", "-h", host, "-p", port, "get", "1"})
		names = append(names, "redis-cli get")
	}
	if out, err := exec.CommandContext(ctx, commands[1][0], commands[1][1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("clt: %w: %s", err, out)
	}
	took := make([][]time.Duration, len(commands))
	for range p.programs {
		for i, command := range commands {
			began := time.Now()
			if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%s: %w: %s", names[i], err, out)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	all := make([]program, len(commands))
	for i := range all {
		all[i] = program{names[i], percentile(took[i], 50), percentile(took[i], 99)}
	}
	return all, nil
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 2, 64) + " ms"
}
