package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPoints(t *testing.T) {
	t.Parallel()
	got := points(timeline{BucketMS: 10, Answers: []int{1, 2, 3, 0, 0, 9, 9, 9, 9, 9, 5}, Labelled: []int{0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 5}})
	want := []point{{0, 120, 80}, {0.05, 900, 0}} // what is left over is less than a point
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.json"), filepath.Join(dir, "out.svg")
	line := func(what string) timeline {
		return timeline{Steps: []step{{what, 50}}, BucketMS: 10, Answers: make([]int, 30), Labelled: make([]int, 30), Failed: make([]int, 30)}
	}
	all := []timeline{line("one"), line("one"), line("two"), line("three"), line("four"), line("five")}
	all[0].Answers[3] = 7
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(in, out); err != nil {
		t.Fatal(err)
	}
	drawn, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"one", "two", "three", "four", "five"} {
		if n := strings.Count(string(drawn), ">"+what+"<"); n != 1 {
			t.Errorf("%q is there %d times", what, n)
		}
	}
	for _, bad := range []string{"", "[]", "{}"} {
		if err := os.WriteFile(in, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := run(in, out); err == nil {
			t.Errorf("%q was drawn", bad)
		}
	}
}
