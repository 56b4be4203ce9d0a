package shell

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"":                            nil,
		" \t\r\n":                     nil,
		"# get k":                     nil,
		"  #":                         nil,
		"get k":                       {"get", "k"},
		"\tget\tk \r\n":               {"get", "k"},
		"get #":                       {"get", "#"},
		`put k "two words"`:           {"put", "k", "two words"},
		`put k 'two "words"'`:         {"put", "k", `two "words"`},
		`put k "a\tb\x00\"\\é\u00e9"`: {"put", "k", "a\tb\x00\"\\éé"},
		`put k "\xff\377"`:            {"put", "k", "\xff\xff"},
		`put k ""`:                    {"put", "k", ""},
		`put k a''b"c"d`:              {"put", "k", "abcd"},
		`put k C:\x`:                  {"put", "k", `C:\x`},
		"put k a=\"b c\"":             {"put", "k", "a=b c"},
	} {
		if got, err := Split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("Split(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
	for line, says := range map[string]string{
		`put k "two words`: `a " has no other behind it`,
		`put k it's`:       `a ' has no other behind it`,
		`put k "\q"`:       `\q": between " a \ begins an escape`,
		`put k "\`:         `begins an escape`,
	} {
		if got, err := Split(line); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Split(%q) = %q, %v, want an error that says %s", line, got, err, says)
		}
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"k": "k", "é": "é", "a#b": "a#b", "#a": `"#a"`, "": `""`, "two words": `"two words"`, "a\nb": `"a\nb"`,
		"it's": `"it's"`, `a\b`: `"a\\b"`, "\xff": `"\xff"`, "\u00a0": `"\u00a0"`,
	} {
		if got := Quote(word); got != want {
			t.Errorf("Quote(%q) = %s, want %s", word, got, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{`put k "two words"`, `put 'a' "\x00"`, `"`, "# x", `"\u12"`, "a\xff\"\xfe\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Split(line)
		if err != nil {
			if words != nil {
				t.Fatalf("Split(%q) = %q and %v", line, words, err)
			}
			return
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = Quote(w)
		}
		if again, err := Split(strings.Join(quoted, " ")); err != nil || !slices.Equal(again, words) {
			t.Fatalf("Split(%q) = %q; quoted it is %s, and that splits to %q, %v", line, words, quoted, again, err)
		}
		// Any bytes at all can be one word.
		if again, err := Split(Quote(line)); err != nil || len(again) != 1 || again[0] != line {
			t.Fatalf("Quote(%q) = %s, which splits to %q, %v", line, Quote(line), again, err)
		}
	})
}
