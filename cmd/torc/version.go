package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/internal/jsonform"
)

// version is what build.sh makes of git describe. Empty in a binary that was
// built otherwise, which then asks Go what it was built from.
var version string

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Example: `  torc version --json`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versionJSON{builtFrom(version, debug.ReadBuildInfo), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if asJSON {
				return jsonform.Print(cmd.OutOrStdout(), v)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "torc %s (%s %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
			return err
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	jsonFlag(cmd, &asJSON)
	return cmd
}

// builtFrom returns the version that was linked in, or else what the build
// information has: a module's version, or a commit.
func builtFrom(linked string, buildInfo func() (*debug.BuildInfo, bool)) string {
	if linked != "" {
		return linked
	}
	info, ok := buildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var commit, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if commit == "" {
		return "unknown"
	}
	return commit + dirty
}
