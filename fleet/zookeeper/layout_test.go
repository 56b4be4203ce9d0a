package zookeeper

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
)

func TestParseChild(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]childName{
		"10.0.0.7:11211-0000000042":      {kind: Announcement, addr: "10.0.0.7:11211", sequence: 42},
		"[fd00::7]:11211-0000000042":     {kind: Announcement, addr: "[fd00::7]:11211", sequence: 42},
		"cache-3.example:11211-00000000": {kind: Strange},
		"cache-3:11211-0000000007":       {kind: Announcement, addr: "cache-3:11211", sequence: 7},
		"drain-10.0.0.7:11211":           {kind: Drain, addr: "10.0.0.7:11211"},
		"drain-3:11211-0000000007":       {kind: Announcement, addr: "drain-3:11211", sequence: 7},
		"drain-drain-3:11211":            {kind: Drain, addr: "drain-3:11211"},
		"drain-10.0.0.7":                 {kind: Strange},
		"10.0.0.7:11211":                 {kind: Strange},
		"10.0.0.7:11211-000000004x":      {kind: Strange},
		"10.0.0.7:0-0000000042":          {kind: Strange},
		"-0000000042":                    {kind: Strange},
		"drain-":                         {kind: Strange},
		"":                               {kind: Strange},
		"lock":                           {kind: Strange},
		"10.0.0.7:11211--000000042":      {kind: Strange},
	} {
		want.name = name
		if got := parseChild(name); got != want {
			t.Errorf("parseChild(%q) = %+v, want %+v", name, got, want)
		}
	}
}

func TestLiving(t *testing.T) {
	t.Parallel()
	alive, drained, strange := living([]string{
		"b:1-0000000003", "a:1-0000000002", "junk", "b:1-0000000010", "drain-a:1", "drain-gone:1", "b:1-0000000004",
	})
	var names []string
	for _, c := range alive {
		names = append(names, c.name)
	}
	if want := []string{"a:1-0000000002", "b:1-0000000010"}; !reflect.DeepEqual(names, want) {
		t.Errorf("alive: %v, want %v", names, want)
	}
	if want := map[string]bool{"a:1": true, "gone:1": true}; !reflect.DeepEqual(drained, want) {
		t.Errorf("drained: %v, want %v", drained, want)
	}
	if want := []string{"junk"}; !reflect.DeepEqual(strange, want) {
		t.Errorf("strange: %v, want %v", strange, want)
	}
}

func FuzzParseChild(f *testing.F) {
	for _, seed := range []string{"a:1-0000000001", "drain-a:1", "drain-drain-a:1", "[::1]:1-0000000001", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c := parseChild(name)
		if c.name != name {
			t.Fatalf("parseChild(%q) names %q", name, c.name)
		}
		if c.kind == Strange {
			return
		}
		if err := torc.CheckAddr(c.addr); err != nil {
			t.Fatalf("parseChild(%q): %v", name, err)
		}
		if c.kind == Drain && drainPrefix+c.addr != name || c.kind == Announcement && !strings.HasPrefix(name, c.addr+"-") {
			t.Fatalf("parseChild(%q) = %+v", name, c)
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"generation":7,"hash":"ketama","vnodes":40,"copies":1}`))
	f.Add([]byte(`{"generation":7,"hash":"ketama","vnodes":40,"copies":1,"stamps":"on","rejoin":"drop","base":4294967295}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data)
		if err != nil {
			return
		}
		again, err := parseConfig(c.encode())
		if err != nil || again != c {
			t.Fatalf("%q is read as %+v, and that written and read as %+v, %v", data, c, again, err)
		}
	})
}

func TestParseWeight(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]uint32{
		"":                         1,
		`{"weight":1}`:             1,
		`{"weight":600,"x":"y"}`:   600,
		`{"weight":1000000}`:       1000000,
		`{"weight":1000001}`:       0,
		`{"weight":0}`:             0,
		`{"weight":-1}`:            0,
		`{}`:                       0,
		`weight 5`:                 0,
		`{"weight":"5"}`:           0,
		`{"weight":4294967297}`:    0,
		"\x00\x01\x02 not json at": 0,
	} {
		got, err := parseWeight([]byte(data))
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("parseWeight(%q) = %d, %v; want %d", data, got, err, want)
		}
	}
}

func TestContradiction(t *testing.T) {
	t.Parallel()
	has := newConfig(0, fleet.Config{}, 0).config()
	for _, test := range []struct {
		asked fleet.Config
		want  string
	}{
		{fleet.Config{}, ""},
		{has, ""},
		{fleet.Config{Hash: "murmur3"}, "the fleet has hash=ketama, not murmur3"},
		{fleet.Config{VNodes: 7, Copies: 3}, "the fleet has vnodes=40, not 7; copies=1, not 3"},
		{fleet.Config{Stamps: fleet.StampsOff}, "the fleet has stamp=on, not off"},
		{fleet.Config{Rejoin: fleet.RejoinDrop}, "the fleet has rejoin=check, not drop"},
	} {
		got := ""
		if err := contradiction(test.asked, has); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("asked %+v: %q, want %q", test.asked, got, test.want)
		}
	}
}

func TestCheckPath(t *testing.T) {
	t.Parallel()
	for path, good := range map[string]bool{
		"/torc": true, "/team/cache": true, "/a-b_c.d": true,
		"": false, "/": false, "torc": false, "/torc/": false, "//torc": false, "/a/../b": false, "/a/./b": false,
		"/a b": true, "/a\x00b": false, "/ü": false, "/zookeeper": false, "/zookeeper/x": false, "/zookeeper2": true,
	} {
		if err := checkPath(path); (err == nil) != good {
			t.Errorf("checkPath(%q) = %v", path, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	parse := func(raw string) (Options, fleet.Options, error) {
		u, err := torc.ParseURL(raw)
		if err != nil {
			return Options{}, fleet.Options{}, err
		}
		return ParseURL(u)
	}
	o, _, err := parse("zk://zk1,zk2:2182,[fd00::1],[fd00::2]:2183/team/cache?hash=murmur3&vnodes=80")
	if err != nil {
		t.Fatal(err)
	}
	want := Options{
		Hosts:  []string{"zk1:2181", "zk2:2182", "[fd00::1]:2181", "[fd00::2]:2183"},
		Path:   "/team/cache",
		Config: fleet.Config{Hash: "murmur3", VNodes: 80},
		Logger: slog.Default(),
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got %+v, want %+v", o, want)
	}
	o, shared, err := parse("zk://zk1?stamp=on&rejoin=drop&offline=refuse")
	if asked := (fleet.Config{Stamps: fleet.StampsOn, Rejoin: fleet.RejoinDrop}); err != nil || o.Config != asked || shared.Config != asked ||
		shared.Offline != fleet.OfflineRefuse || shared.OfflineAfter != DefaultSessionTimeout {
		t.Errorf("got %+v and %+v, %v", o, shared, err)
	}
	for _, raw := range []string{"zk://zk1", "zk://zk1/"} {
		o, _, err := parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if o.withDefaults().Path != "/torc" {
			t.Errorf("%s has the path %q", raw, o.withDefaults().Path)
		}
	}
	for raw, says := range map[string]string{
		"zk:///torc":             "names no ZooKeeper",
		"zk://zk1/torc?hsah=x":   "hsah",
		"zk://zk1/a//b":          "no path for a fleet",
		"zk://zk1/zookeeper":     "ZooKeeper's own",
		"zk://zk1/t?vnodes=many": "vnodes",
		"zk://zk1/t?stamp=yes":   "it takes on or off",
		"zk://zk1/t?rejoin=keep": "it takes check or drop",
		"zk://zk1/t?offline=":    "it takes serve or refuse",

		"zk://zk1/t?rejoin=check&stamp=off": "nobody knows which values may be stale",
	} {
		if _, _, err := parse(raw); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one that says %q", raw, err, says)
		}
	}
}
