package torc

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestResolvePut(t *testing.T) {
	t.Parallel()
	v := Version{Epoch: 1, Seq: 2}
	for name, c := range map[string]struct {
		opts []PutOption
		want PutOptions
	}{
		"none":         {nil, PutOptions{}},
		"ttl":          {[]PutOption{TTL(time.Second)}, PutOptions{TTL: time.Second}},
		"longest ttl":  {[]PutOption{TTL(MaxTTL)}, PutOptions{TTL: MaxTTL}},
		"absent":       {[]PutOption{IfAbsent()}, PutOptions{Cond: CondAbsent}},
		"absent twice": {[]PutOption{IfAbsent(), IfAbsent()}, PutOptions{Cond: CondAbsent}},
		"present":      {[]PutOption{IfPresent(), TTL(time.Hour)}, PutOptions{Cond: CondPresent, TTL: time.Hour}},
		"version":      {[]PutOption{IfVersion(v)}, PutOptions{Cond: CondVersion, Version: v}},
		"the last ttl": {[]PutOption{TTL(time.Hour), TTL(time.Minute)}, PutOptions{TTL: time.Minute}},
	} {
		if got, err := ResolvePut(c.opts); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestResolvePutRefuses(t *testing.T) {
	t.Parallel()
	v, w := Version{Seq: 1}, Version{Seq: 2}
	for name, c := range map[string]struct {
		opts []PutOption
		says string
	}{
		"absent and present":  {[]PutOption{IfAbsent(), IfPresent()}, "exclude each other"},
		"present and version": {[]PutOption{IfPresent(), IfVersion(v)}, "exclude each other"},
		"two versions":        {[]PutOption{IfVersion(v), IfVersion(w)}, "exclude each other"},
		"zero version":        {[]PutOption{IfVersion(Version{})}, "not the zero version"},
		"no ttl":              {[]PutOption{TTL(0)}, "a TTL is"},
		"negative ttl":        {[]PutOption{TTL(-1)}, "a TTL is"},
		"ttl too long":        {[]PutOption{TTL(MaxTTL + 1)}, "a TTL is"},
		"the first mistake":   {[]PutOption{TTL(-1), IfAbsent(), IfPresent(), TTL(time.Hour)}, "a TTL is"},
	} {
		got, err := ResolvePut(c.opts)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.says) || got != (PutOptions{}) {
			t.Errorf("%s: %+v, %v, want ErrInvalid that says %q", name, got, err, c.says)
		}
	}
}
