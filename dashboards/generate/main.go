// Command generate writes Grafana's dashboards from their Go descriptions into
// the folder given, dashboards/grafana/dashboards by default.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"ghostlight/dashboards/board"
	"ghostlight/dashboards/overview"
)

func main() {
	dir := filepath.Join("dashboards", "grafana", "dashboards")
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := generate(dir, overview.Board()); err != nil {
		fmt.Fprintln(os.Stderr, "generate dashboards:", err)
		os.Exit(1)
	}
}

func generate(dir string, boards ...board.Board) error {
	for _, b := range boards {
		data, err := b.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, b.UID+".json"), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
