package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/script"
	"github.com/torc-dht/torc/tabletest"
)

// What is said of the objects' fields is what the objects have.
func TestJSONObjectsAreExplained(t *testing.T) {
	t.Parallel()
	have := map[string][]string{
		"get":                        fieldsOf(reflect.TypeFor[getJSON]()),
		"put":                        fieldsOf(reflect.TypeFor[putJSON]()),
		"delete":                     fieldsOf(reflect.TypeFor[deleteJSON]()),
		"locate":                     fieldsOf(reflect.TypeFor[locateJSON]()),
		"members; watch":             fieldsOf(reflect.TypeFor[viewJSON]()),
		"each of members and owners": fieldsOf(reflect.TypeFor[torc.Member]()),
		"version":                    fieldsOf(reflect.TypeFor[versionJSON]()),
		"run, fleet-client":          fieldsOfRun(t),
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
		case !strings.HasSuffix(name, "_base64"):
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
	names := make(map[string]bool)
	for line := range strings.Lines(out.String()) {
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
