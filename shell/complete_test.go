package shell

import (
	"slices"
	"testing"
	"unicode/utf8"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	members := func(drained bool) []string {
		if drained {
			return []string{"b:1"}
		}
		return []string{"a:1", "ab:1", "b:1"}
	}
	for line, want := range map[string][]string{
		"":                  commandNames(),
		"re":                {"remove", "rebalance"},
		"RE":                {"remove", "rebalance"},
		"  st":              {"stats"},
		"x":                 nil,
		"get ":              nil,
		"x y":               nil,
		"remove ":           {"a:1", "ab:1", "b:1"},
		"remove a":          {"a:1", "ab:1"},
		"remove a:1 --":     {"--yes"},
		"add ":              {"b:1"}, // takes it back
		"add h:1 --":        {"--weight", "--flush", "--keep"},
		"add h:1 --flush -": {"--weight", "--flush", "--keep"},
		"help f":            {"fill"},
		"put --if":          {"--if-absent", "--if-present", "--if-version"},
	} {
		_, words, tail := complete(line, utf8.RuneCountInString(line), members)
		for i := range words {
			words[i] = words[i][:len(words[i])-1] // the blank behind it
		}
		if !slices.Equal(words, want) || tail != "" {
			t.Errorf("%q becomes %q, want %q", line, words, want)
		}
	}
	if head, words, tail := complete("remove é b k", 10, members); head != "remove é " || !slices.Equal(words, []string{"b:1 "}) || tail != "k" {
		t.Errorf("in the middle: %q, %q, %q", head, words, tail)
	}
}
