package chord

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/torc-dht/torc/internal/cluster"
)

// Start is which node is to be started.
type Start struct {
	Bits, Replicas int
	ID             string // in decimal
	// Contact is ID@HOST:PORT of a node of the ring; empty: it begins a ring.
	Contact string
}

// Process is a node that runs, in a process of the operating system of its own.
type Process interface {
	// Addr is host:port.
	Addr() string
	Pid() int
	// Kill ends it at once, and returns when it is gone.
	Kill() error
}

// Starter starts nodes.
type Starter interface {
	// Start returns when the node has joined.
	Start(ctx context.Context, s Start) (Process, error)
	// Close ends all that still run, and leaves nothing behind.
	Close() error
}

// Programs starts nodes by running the torc at a path, as torc chord node. Each has a
// ring folder of its own: they find one another by address.
func Programs(torc string) (Starter, error) {
	c, err := cluster.New(cluster.Options{Torc: torc})
	if err != nil {
		return nil, err
	}
	return &programs{c, torc}, nil
}

type programs struct {
	cluster *cluster.Cluster
	torc    string
}

func (p *programs) Close() error { return p.cluster.Close() }

func (p *programs) Start(ctx context.Context, s Start) (Process, error) {
	dir, err := os.MkdirTemp(p.cluster.Dir(), "node-")
	if err != nil {
		return nil, err
	}
	ready := filepath.Join(dir, "ready")
	args := []string{"chord", "node", strconv.Itoa(s.Bits), s.ID}
	if s.Contact != "" {
		args = append(args, s.Contact)
	}
	args = append(args, "--replicas", strconv.Itoa(s.Replicas), "--ready-file", ready)
	name := ""
	proc, err := p.cluster.Host("ring").Start(ctx, cluster.Spec{
		Name: "node-" + s.ID, Path: p.torc, Args: args, Env: []string{"TORC_RUN=" + filepath.Join(dir, "run")},
		Ready: func(context.Context) error {
			b, err := os.ReadFile(ready)
			name = strings.TrimSpace(string(b))
			if err == nil && name == "" {
				err = fmt.Errorf("%s is empty", ready)
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	_, addr, found := strings.Cut(name, "@")
	if !found {
		return nil, fmt.Errorf("%s has %q, and not ID@HOST:PORT", ready, name)
	}
	return &process{proc, addr}, nil
}

type process struct {
	*cluster.Proc
	addr string
}

func (p *process) Addr() string { return p.addr }
