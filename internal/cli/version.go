package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/teahouse-chat/teahouse/internal/config"
)

func (p *program) runVersion(args []string) int {
	if len(args) > 0 {
		return p.fail(exitUsage, fmt.Errorf("version takes no arguments, but got %s", config.Quote(args[0])))
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	fmt.Fprint(p.stdout, versionOf(build))
	return exitOK
}

// versionOf is the answer of the version command, in one line per fact.
func versionOf(build *debug.BuildInfo) string {
	version, commit := build.Main.Version, "unknown"
	if version == "" {
		version = "(devel)"
	}
	changed := ""
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with local changes"
		}
	}
	return fmt.Sprintf("teahouse %s\n%s %s/%s\ncommit %s%s\n",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH, commit, changed)
}
