package daemon

import (
	"fmt"
	"runtime"
)

// Version and Commit are set at link time; a plain go build says "dev".
var (
	Version = "dev"
	Commit  = "unknown"
)

// VersionString is what --version prints.
func VersionString(name string) string {
	return fmt.Sprintf("%s %s (commit %s, %s, %s/%s)", name, Version, Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
