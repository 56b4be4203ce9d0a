package shard

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/torc-dht/torc/memcache"
	torcshard "github.com/torc-dht/torc/shard"
)

// Keys 1 to 100 lie at (key % servers) + 1, for 1 to 12 servers that join one by
// one: that one answers, and each other says that it doesn't. It runs alone: thirteen
// processes need all that a small machine has.
func TestModulo(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of processes")
	}
	s := newStore(t)
	s.startMaster("master-svr")
	s.join()
	for key := 1; key <= 100; key++ {
		s.put(strconv.Itoa(key), fmt.Sprint("value ", key))
	}
	for n := 1; n <= 12; n++ {
		if n > 1 {
			s.join()
		}
		s.settle()
		s.number()
		for key := 1; key <= 100; key++ {
			if owners := s.owners(strconv.Itoa(key)); !slices.Equal(owners, []int{key%n + 1}) {
				t.Errorf("of %d servers key %d is answered for by %v, want %d", n, key, owners, key%n+1)
			}
		}
		for _, key := range byClient() {
			s.checkByClient(key, n)
		}
	}
}

// byClient are the keys that are asked for by clt, a process for each server: all
// of them takes minutes.
func byClient() []int {
	keys := rand.Perm(100)
	if os.Getenv("TORC_SOAK") == "" {
		keys = keys[:5]
	}
	for i := range keys {
		keys[i]++
	}
	return keys
}

// checkByClient asks each server for a key by clt: exactly one exits with 0, the
// others with 2.
func (s *store) checkByClient(key, n int) {
	s.t.Helper()
	for i, v := range s.servers {
		r := call(s.t, "clt", "-p", v.port, "-o", "GET", "-k", strconv.Itoa(key), "-v", "", "-m", s.master, "-d", "1")
		want := result{code: 2, stderr: r.stderr}
		if i == key%n {
			want = result{stdout: fmt.Sprintf("value %d\n", key)}
		}
		if r != want {
			s.t.Errorf("of %d servers, key %d at server %d: %+v, want %+v", n, key, i+1, r, want)
		}
		if r.code == 2 && strings.Count(r.stderr, "\n") != 1 {
			s.t.Errorf("clt says in other than one line that it has no key: %q", r.stderr)
		}
	}
}

// owners returns the numbers, from 1, of the servers that answer for a key.
func (s *store) owners(key string) (owners []int) {
	s.t.Helper()
	for i, v := range s.servers {
		item, err := s.client(v).Get(s.t.Context(), key)
		var refused *memcache.ServerError
		switch {
		case err == nil && string(item.Value) == "value "+key:
			owners = append(owners, i+1)
		case errors.As(err, &refused) && strings.HasPrefix(refused.Line, "SERVER_ERROR moved "):
		default:
			s.t.Fatalf("key %s at server %d: %q, %v", key, i+1, item.Value, err)
		}
	}
	return owners
}

// client returns a client of one server, which is closed when the test ends.
func (s *store) client(v *server) *memcache.Client {
	if v.client == nil {
		v.client = memcache.NewClient("127.0.0.1:"+v.port, memcache.Config{Conns: 1})
		s.t.Cleanup(func() { _ = v.client.Close() })
	}
	return v.client
}

// Under placement minimal a server that joins takes an equal share from each
// other, and nothing else moves.
func TestMinimal(t *testing.T) {
	t.Parallel()
	const keys = 300
	s := newStore(t)
	s.startMaster("torc", "shard", "master")
	s.join()
	was := make(map[string]int)
	for i := range keys {
		key := fmt.Sprint("k", i)
		if _, err := s.client(s.servers[0]).Set(t.Context(), memcache.Item{Key: key, Value: []byte("value " + key)}, memcache.ModeSet); err != nil {
			t.Fatal(err)
		}
		was[key] = 1
	}
	for n := 2; n <= 4; n++ {
		s.join()
		s.settle()
		moved := 0
		for key, before := range was {
			owners := s.owners(key)
			if len(owners) != 1 {
				t.Fatalf("key %s is answered for by %v", key, owners)
			}
			if owners[0] != before {
				moved++
				if owners[0] != n {
					t.Errorf("key %s moved from server %d to %d when server %d joined", key, before, owners[0], n)
				}
			}
			was[key] = owners[0]
		}
		if moved == 0 {
			t.Errorf("no key moved to server %d", n)
		}
		s.checkBalance()
	}
}

// number puts the servers in the order in which they joined, which is that of their
// start, unless the machine was so busy that one was taken for dead and joined anew.
func (s *store) number() {
	s.t.Helper()
	place := make(map[string]int)
	for i, v := range s.status().Servers {
		place[v.Addr] = i
	}
	slices.SortStableFunc(s.servers, func(a, b *server) int { return place["127.0.0.1:"+a.port] - place["127.0.0.1:"+b.port] })
}

// status returns what torc shard status tells.
func (s *store) status() (st torcshard.Status) {
	s.t.Helper()
	r := call(s.t, "torc", "shard", "status", "--master", "127.0.0.1:"+s.master, "--json")
	if err := json.Unmarshal([]byte(r.stdout), &st); err != nil {
		s.t.Fatalf("%v: %+v", err, r)
	}
	return st
}

// checkBalance holds that no server has more than one slot more than another, of
// primaries and of backups.
func (s *store) checkBalance() {
	s.t.Helper()
	st := s.status()
	if len(st.Servers) != len(s.servers) || st.Single != 0 || len(st.Failed) != 0 {
		s.t.Errorf("of %d servers, a status of %+v", len(s.servers), st)
	}
	var primaries, backups []int
	for _, v := range st.Servers {
		primaries, backups = append(primaries, v.Primaries), append(backups, v.Backups)
	}
	for what, counts := range map[string][]int{"primaries": primaries, "backups": backups} {
		if slices.Max(counts)-slices.Min(counts) > 1 {
			s.t.Errorf("uneven %s: %v", what, counts)
		}
	}
}
