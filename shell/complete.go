package shell

import (
	"strings"

	"github.com/spf13/pflag"
)

// complete returns what the word that ends at pos, in runes, may become: head,
// each of the words and tail make a line. Members is called for the addresses
// of the members, or of the drained ones, where one may stand.
func complete(line string, pos int, members func(drained bool) []string) (head string, words []string, tail string) {
	runes := []rune(line)
	head, tail = string(runes[:pos]), string(runes[pos:])
	begin := strings.LastIndexAny(head, blanks) + 1
	head, word := head[:begin], head[begin:]
	before := strings.Fields(head)
	var all []string
	switch {
	case len(before) == 0:
		all = commandNames()
		word = strings.ToLower(word)
	default:
		d, ok := findCommand(strings.ToLower(before[0]))
		if !ok {
			return head, nil, tail
		}
		if strings.HasPrefix(word, "-") {
			d.flags().VisitAll(func(f *pflag.Flag) { all = append(all, "--"+f.Name) })
		} else if d.complete == completeCommands {
			all = commandNames()
		} else if d.complete == completeMembers || d.complete == completeDrained {
			all = members(d.complete == completeDrained)
		}
	}
	for _, w := range all {
		if strings.HasPrefix(w, word) {
			words = append(words, w+" ")
		}
	}
	return head, words, strings.TrimLeft(tail, blanks)
}
