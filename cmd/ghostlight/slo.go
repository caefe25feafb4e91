package main

import "fmt"

type sloCmd struct {
	Lint    sloLintCmd    `cmd:"" help:"Check OpenSLO files: valid, or what is wrong and where."`
	Explain sloExplainCmd `cmd:"" help:"Say what the objectives of a file mean, what would page, and after how long."`
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
