package main

import (
	"fmt"
	"io"

	"ghostlight/internal/daemon"
)

// versionCmd prints what --version prints.
type versionCmd struct{}

func (versionCmd) Run(out io.Writer) error {
	_, err := fmt.Fprintln(out, daemon.VersionString("ghostlight"))
	return err
}
