package shell

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const blanks = " \t\r\n"

// Split splits a line into its words, as the package's documentation has it. A
// blank line and a comment have none. The error says what is wrong with the
// quotes.
func Split(line string) ([]string, error) {
	line = strings.Trim(line, blanks)
	if strings.HasPrefix(line, "#") {
		return nil, nil
	}
	var words []string
	for line != "" {
		word, rest, err := cutWord(line)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		line = strings.TrimLeft(rest, blanks)
	}
	return words, nil
}

// cutWord cuts the first word off line, which does not begin with a blank.
// Quoted and other parts without a blank between them are one word.
func cutWord(line string) (word, rest string, err error) {
	var b strings.Builder
	for line != "" && !strings.ContainsRune(blanks, rune(line[0])) {
		switch line[0] {
		case '\'':
			end := strings.IndexByte(line[1:], '\'')
			if end < 0 {
				return "", "", errors.New(`a ' has no other behind it: 'two words' is one argument`)
			}
			b.WriteString(line[1 : 1+end])
			line = line[end+2:]
		case '"':
			text, rest, err := cutQuoted(line[1:])
			if err != nil {
				return "", "", err
			}
			b.WriteString(text)
			line = rest
		default:
			end := strings.IndexAny(line, blanks+`'"`)
			if end < 0 {
				end = len(line)
			}
			b.WriteString(line[:end])
			line = line[end:]
		}
	}
	return b.String(), line, nil
}

// cutQuoted reads line, which begins behind a double quote, to the other one.
func cutQuoted(line string) (text, rest string, err error) {
	var b strings.Builder
	for line != "" {
		if line[0] == '"' {
			return b.String(), line[1:], nil
		}
		if line[0] != '\\' {
			b.WriteByte(line[0])
			line = line[1:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(line, '"')
		if err != nil {
			return "", "", fmt.Errorf(`%.4s: between " a \ begins an escape, as \n, \t, \", \\ or \x00`, line)
		}
		if multibyte {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		line = tail
	}
	return "", "", errors.New(`a " has no other behind it: "two words" is one argument`)
}

// Quote returns word so that Split reads it as one word: as it is where it can.
func Quote(word string) string {
	if word == "" || word[0] == '#' || strings.ContainsFunc(word, needsQuotes) || !utf8.ValidString(word) {
		return strconv.Quote(word)
	}
	return word
}

func needsQuotes(r rune) bool {
	return r == '"' || r == '\'' || r == '\\' || unicode.IsSpace(r) || !unicode.IsPrint(r)
}
