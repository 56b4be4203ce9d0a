package main

import (
	"runtime/debug"
	"testing"
)

func TestBuiltFrom(t *testing.T) {
	t.Parallel()
	info := func(version string, settings ...debug.BuildSetting) func() (*debug.BuildInfo, bool) {
		return func() (*debug.BuildInfo, bool) {
			return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}, true
		}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123"}
	dirty := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, c := range []struct {
		linked string
		info   func() (*debug.BuildInfo, bool)
		want   string
	}{
		{"v1.2.3-4-gabcdef0", info("(devel)", commit), "v1.2.3-4-gabcdef0"},
		{"", info("v1.2.3"), "v1.2.3"},
		{"", info("(devel)", commit), "0123456789ab"},
		{"", info("", commit, dirty), "0123456789ab-dirty"},
		{"", info("(devel)"), "unknown"},
		{"", func() (*debug.BuildInfo, bool) { return nil, false }, "unknown"},
	} {
		if got := builtFrom(c.linked, c.info); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
