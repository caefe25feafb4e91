package main

import (
	"fmt"
	"strings"

	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

type sloCmd struct {
	Lint    sloLintCmd    `cmd:"" help:"Check OpenSLO files: valid, or what is wrong and where."`
	Explain sloExplainCmd `cmd:"" help:"Say what the objectives of a file mean, what would page, and after how long."`
	Test    sloTestCmd    `cmd:"" help:"Replay a data file against an objective: how it was kept, and what would have fired when."`
	Rules   sloRulesCmd   `cmd:"" help:"Write the burn alerts of a file's objectives as a Prometheus rule file."`
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// oneObjective reads the objective of a file: its only one, or the one named.
func oneObjective(file, name string) (slo.Objective, error) {
	objectives, err := openslo.Load(file)
	if err != nil {
		return slo.Objective{}, err
	}
	var names []string
	for _, o := range objectives {
		if o.Name == name || (name == "" && len(objectives) == 1) {
			return o, nil
		}
		names = append(names, o.Name)
	}
	return slo.Objective{}, fmt.Errorf("%s holds %s; choose one with --name", file, strings.Join(names, ", "))
}
