package main

import (
	"errors"
	"fmt"
	"io"

	"ghostlight/slo/openslo"
)

type sloCmd struct {
	Lint sloLintCmd `cmd:"" help:"Check OpenSLO files and say what they mean."`
}

// sloLintCmd checks files. Its exit status is 0 if all are valid.
type sloLintCmd struct {
	Files []string `arg:"" name:"file" help:"OpenSLO v1 files."`
}

func (c *sloLintCmd) Run(out io.Writer) error {
	bad := 0
	for _, path := range c.Files {
		objectives, err := openslo.Load(path)
		if err != nil {
			bad++
			if _, err := fmt.Fprintln(out, err); err != nil {
				return fmt.Errorf("print what is wrong: %w", err)
			}
			continue
		}
		for _, o := range objectives {
			if _, err := fmt.Fprintf(out, "%s: %s is valid: %g %% of %s\n", path, o.Name, 100*o.Target, o.Indicator); err != nil {
				return fmt.Errorf("print what is valid: %w", err)
			}
		}
	}
	if bad > 0 {
		return errors.New(plural(bad, "file is not valid", "files are not valid"))
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
