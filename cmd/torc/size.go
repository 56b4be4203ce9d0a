package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// size is a flag's number of bytes: 1048576, 1024K, 1M or 2G, with or without a
// B behind it. K is 1024.
type size int64

// units, from the largest.
var units = []struct {
	letter string
	bytes  int64
}{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

func (s *size) Set(text string) error {
	number := strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(text)), "B")
	unit := int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.letter); ok {
			number, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return errors.New("write a number of bytes, or one with K, M or G behind it, as 512K or 64M")
	}
	*s = size(n * unit)
	return nil
}

func (s *size) String() string {
	for _, u := range units {
		if n := int64(*s); n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.letter
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type is what help calls the flag's value.
func (*size) Type() string { return "size" }
