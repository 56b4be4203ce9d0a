package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/replica"
	"github.com/torc-dht/torc/script"
	"github.com/torc-dht/torc/shard"
	"github.com/torc-dht/torc/shell"
	"github.com/torc-dht/torc/tabletest"
)

// What is said of the objects' fields is what the objects have.
func TestJSONObjectsAreExplained(t *testing.T) {
	t.Parallel()
	have := map[string][]string{
		"get":                          fieldsOf(reflect.TypeFor[getJSON]()),
		"put":                          fieldsOf(reflect.TypeFor[putJSON]()),
		"delete":                       fieldsOf(reflect.TypeFor[deleteJSON]()),
		"locate":                       fieldsOf(reflect.TypeFor[locateJSON]()),
		"members; watch":               fieldsOf(reflect.TypeFor[viewJSON]()),
		"each of members and owners":   fieldsOf(reflect.TypeFor[torc.Member]()),
		"version":                      fieldsOf(reflect.TypeFor[versionJSON]()),
		"run, fleet-client":            fieldsOfRun(t),
		"shell, dht-shell":             fieldsOfShell(t),
		"fleet rebalance":              fieldsOf(reflect.TypeFor[rebalanceJSON]()),
		"what was moved":               fieldsOf(reflect.TypeFor[jsonform.Progress]()),
		"each of the members of stats": fieldsOf(reflect.TypeFor[jsonform.MemberSurvey]()),

		"replica status":                        fieldsOf(reflect.TypeFor[replicaStatusJSON]()),
		"each of the members of replica status": fieldsOf(reflect.TypeFor[replica.MemberStatus]()),

		"shard status":                        fieldsOf(reflect.TypeFor[shardStatusJSON]()),
		"each of the servers of shard status": fieldsOf(reflect.TypeFor[shard.ServerStatus]()),
		"each of the moves of shard status":   fieldsOf(reflect.TypeFor[shard.Move]()),
		"shard rebalance":                     fieldsOf(reflect.TypeFor[shardRebalanceJSON]()),

		"chord ring":                          fieldsOf(reflect.TypeFor[chordRingJSON]()),
		"each of the missing of chord ring":   fieldsOf(reflect.TypeFor[chord.Missing]()),
		"chord status":                        fieldsOf(reflect.TypeFor[chordStatusJSON]()),
		"each of the fingers of chord status": fieldsOf(reflect.TypeFor[chord.Finger]()),
		"chord lookup":                        fieldsOf(reflect.TypeFor[chordLookupJSON]()),
		"each of the hops of chord lookup":    fieldsOf(reflect.TypeFor[chordHopJSON]()),
	}
	for _, o := range jsonObjects {
		what, _, _ := strings.Cut(o.what, ":")
		var said []string
		for _, f := range o.fields {
			if f.name != "" {
				said = append(said, strings.Split(f.name, ", ")...)
			}
		}
		slices.Sort(said)
		if !slices.Equal(said, have[what]) {
			t.Errorf("%s: explained are %q, and there are %q", what, said, have[what])
		}
		delete(have, what)
	}
	for what := range have {
		t.Errorf("%s is not explained", what)
	}
	for line := range strings.Lines(jsonText()) {
		if len(line) > 81 {
			t.Errorf("a line of help has more than 80 columns: %s", line)
		}
	}
}

// fieldsOf returns the names of the fields of a struct's JSON, sorted.
func fieldsOf(s reflect.Type) (names []string) {
	for i := range s.NumField() {
		f := s.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, fieldsOf(f.Type)...)
		case name != "-" && !strings.HasSuffix(name, "_base64"):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// fieldsOfRun returns the names of the fields that a commands file's objects
// have, sorted.
func fieldsOfRun(t *testing.T) []string {
	commands, err := script.Parse("f", strings.NewReader("PUT a, 1\nGET a\nSLEEP 1\nDELETE a\nGET a\nGET b\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	table := tabletest.NewMemory()
	r := script.Runner{Table: table, Stdout: &out, Stderr: t.Output(), JSON: true}
	if _, err := r.Run(t.Context(), commands); err != nil {
		t.Fatal(err)
	}
	_ = table.Close() // from here on all fails
	if _, err := r.Run(t.Context(), commands[:1]); err != nil {
		t.Fatal(err)
	}
	return namesIn(t, out.String())
}

// able is a table that can do all that a kind can, to no effect.
type able struct{ *tabletest.Memory }

func (able) Keys(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("k", nil) }
}
func (able) AddMember(context.Context, string, torc.AddOptions) error { return nil }
func (able) RemoveMember(context.Context, string) error               { return nil }
func (able) Rebalance(context.Context, torc.RebalanceOptions) (torc.Progress, error) {
	return torc.Progress{}, nil
}
func (able) Survey(context.Context) (torc.Survey, error) { return torc.Survey{}, nil }

// fieldsOfShell returns the names of the fields that a shell's objects have,
// sorted.
func fieldsOfShell(t *testing.T) []string {
	in := shell.NewStream("in", strings.NewReader(`put k v
get k
get nosuch
locate k
nodes
stats
add a:1
remove a:1
rebalance
keys
fill 1
delete k
help
nonsense
`))
	defer in.Close()
	var out strings.Builder
	s := shell.Shell{Table: able{tabletest.NewMemory()}, Input: in, Stdout: &out, Stderr: t.Output(), JSON: true}
	if _, err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return namesIn(t, out.String())
}

// namesIn returns the names of the fields of all objects, sorted.
func namesIn(t *testing.T, objects string) []string {
	t.Helper()
	names := make(map[string]bool)
	for line := range strings.Lines(objects) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", line, err))
		}
		for name := range o {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
