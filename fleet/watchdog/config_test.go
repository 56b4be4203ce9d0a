package watchdog

import (
	"errors"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/zookeeper"
)

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	here := zookeeper.Options{Hosts: []string{"127.0.0.1:2181", "localhost:2182", "[::1]:2183"}}
	there := zookeeper.Options{Hosts: []string{"127.0.0.1:2181", "zk1:2181"}}
	for name, test := range map[string]struct {
		cfg  Config
		says string // empty: nothing is wrong
	}{
		"loopback to loopback":      {Config{Addr: "127.0.0.1:11211", Directory: here}, ""},
		"loopback to elsewhere":     {Config{Addr: "127.0.0.1:11211", Directory: there}, "--announce HOST:PORT"},
		"localhost to elsewhere":    {Config{Addr: "localhost:11211", Directory: there}, "zk1:2181"},
		"::1 to elsewhere":          {Config{Addr: "[::1]:11211", Directory: there}, "--announce"},
		"loopback, but says so":     {Config{Addr: "127.0.0.1:11211", Announce: "127.0.0.1:11211", Directory: there}, ""},
		"loopback, announced as":    {Config{Addr: "127.0.0.1:11211", Announce: "10.0.0.7:11211", Directory: there}, ""},
		"elsewhere to elsewhere":    {Config{Addr: "10.0.0.7:11211", Directory: there}, ""},
		"listening address":         {Config{Addr: "0.0.0.0:11211", Directory: there}, "listen"},
		"listening address, v6":     {Config{Addr: "[::]:11211", Directory: here}, "listen"},
		"announced listening":       {Config{Addr: "10.0.0.7:11211", Announce: "0.0.0.0:1", Directory: here}, "listen"},
		"no port":                   {Config{Addr: "10.0.0.7", Directory: here}, "port"},
		"no address":                {Config{Directory: here}, "address"},
		"announced without a port":  {Config{Addr: "10.0.0.7:11211", Announce: "cache7", Directory: here}, "cache7"},
		"no ZooKeeper":              {Config{Addr: "10.0.0.7:11211"}, "names no ZooKeeper"},
		"too heavy":                 {Config{Addr: "10.0.0.7:11211", Directory: here, Weight: 2_000_000}, "weight"},
		"two things wrong, one":     {Config{Addr: "x", Directory: zookeeper.Options{}}, "names no ZooKeeper"},
		"two things wrong, another": {Config{Addr: "x", Directory: zookeeper.Options{}}, `"x"`},
	} {
		err := test.cfg.Validate()
		switch {
		case test.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.says != "" && (err == nil || !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: error %v, want one that says %q", name, err, test.says)
		}
	}
	if err := Run(t.Context(), Config{Addr: "x"}); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("Run: %v", err)
	}
}
