package shard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

// A survey asks each server, without a master too; one that doesn't answer has its
// error in its own part.
func TestSurvey(t *testing.T) {
	t.Parallel()
	m, a, b, c := newFakeMaster(t), newFakeServer(t), newFakeServer(t), newFakeServer(t)
	three := mapOf(1, a, b, c)
	three.Servers[2].Dead = true
	m.service.SetMap(three)
	table := newTable(t, m, TableOptions{})
	a.hold(integers(10)...)
	m.stop()
	b.stop()
	s, err := table.Survey(t.Context())
	if err != nil || s.Copies != 2 || s.Placement != "minimal" || s.Version != 1 || len(s.Members) != 3 {
		t.Fatalf("Survey = %+v, %v", s, err)
	}
	for _, of := range s.Members {
		if math.Abs(of.Share-1.0/3) > 1e-9 {
			t.Errorf("%s has the share %v", of.Addr, of.Share)
		}
		switch {
		case of.Addr == a.addr:
			if of.Err != nil || of.Entries != 10 || of.Bytes == 0 {
				t.Errorf("who answers: %+v, %v", of, of.Err)
			}
		case !errors.Is(of.Err, torc.ErrUnavailable) || of.Entries != 0:
			t.Errorf("who doesn't: %+v, %v", of, of.Err)
		}
	}
	_ = table.Close()
	if _, err := table.Survey(t.Context()); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("of a closed table: %v", err)
	}
}

// Of real servers the entries add up, each counted for each of its copies.
func TestSurveyCountsCopies(t *testing.T) {
	url, _ := startTable(t, 2)
	table, err := torc.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for i := range 100 {
		if err := table.Put(t.Context(), fmt.Sprint(i), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "200 entries, which 100 keys in two copies are", func() bool { // a copy may still be filling
		s, err := table.(torc.Surveyor).Survey(t.Context())
		entries := uint64(0)
		for _, of := range s.Members {
			entries += of.Entries
		}
		return err == nil && entries == 200
	})
}

// Close ends a survey, and a walk, that waits for a server.
func TestCloseEndsSurvey(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*Table) error{
		"survey": func(table *Table) error { _, err := table.Survey(t.Context()); return err },
		"walk": func(table *Table) (err error) {
			for _, err = range table.Keys(t.Context()) {
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); closeEnds(t, call) })
	}
}

func closeEnds(t *testing.T, call func(*Table) error) {
	dialled := make(chan struct{}, 16)
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		dialled <- struct{}{}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	table := newUnconnected(nil, TableOptions{ReadTimeout: time.Hour, Dialer: dial})
	defer table.Close()
	table.adopt(mapOf(1, &fakeServer{addr: mute(t)}))
	ended := make(chan error)
	go func() { ended <- call(table) }()
	<-dialled
	_ = table.Close()
	if err := <-ended; !errors.Is(err, torc.ErrClosed) {
		t.Errorf("%v", err)
	}
}
