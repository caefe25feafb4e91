// Package arrows keeps the import arrows of ARCHITECTURE.md: a room imports only
// what stands below it, and the two engines that might be replaced one day, the
// OpenTelemetry Collector and VictoriaMetrics, each have exactly one importer.
package arrows

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "ghostlight/"

// may lists, for each room, the rooms of ours that it may import besides itself.
var may = map[string][]string{
	"slo":         {"internal/strictyaml", "internal/recurrence"},
	"healthscore": {"slo"},
	"synthetics":  {"slo", "internal/strictyaml"},
	"buffer":      {"internal/sqlite", "internal/crashtest"},
	"edgecore":    {"internal/daemon", "internal/strictyaml", "internal/sqlite", "internal/crashtest"},
	"collector":   {"slo", "healthscore", "synthetics", "buffer", "internal/daemon", "internal/strictyaml", "internal/sqlite", "internal/webui"},
	"fleet":       {"slo", "healthscore", "synthetics", "buffer", "internal/daemon", "internal/strictyaml", "internal/recurrence", "internal/sqlite", "internal/crashtest", "internal/webui"},
	// The flattener of OTLP metrics is pure, and is the one that agents use: a
	// metric has one name, whichever way it came.
	"fleet/doors": {"fleet/ingest", "fleet/classic", "buffer", "collector/flatten", "internal/crashtest"},
	"dashboards":  {},
	"deploy":      {"collector/config", "fleet/config", "edgecore"}, // its test decodes the examples
	"cmd":         {"*"},
	"internal":    {"internal"},
	// The demo is init for the whole product and drives it from outside.
	"internal/demo": {"edgecore/crowd", "slo/shipped", "synthetics/shipped", "internal"},
	"internal/e2e":  {"*"},
	// So does the bench, which also measures the buffer as a library.
	"internal/bench": {"slo", "buffer", "fleet", "edgecore/crowd", "internal"},
	// A recorded node is replayed as batches.
	"internal/dataset": {"buffer"},
	// The simulated fleet sends with the real sender.
	"internal/fleetsim": {"buffer"},
	// The torture feed goes through the node's book and the centre's ledger.
	"internal/torture": {"slo", "buffer", "collector/sli", "collector/incidents", "fleet"},
}

// only lists, for a foreign module, the one room that may import it.
var only = map[string][]string{
	"go.opentelemetry.io/collector/":       {"collector", "internal/e2e"}, // which sends with it
	"github.com/open-telemetry/":           {"collector"},
	"github.com/VictoriaMetrics/":          {"fleet/tsdb"},
	"github.com/mattn/go-sqlite3":          {"internal/sqlite"},
	"github.com/grafana/":                  {"dashboards"},
	"github.com/chromedp/":                 {"internal/e2e"},
	"go.opentelemetry.io/collector/pdata/": {"collector", "fleet/evidence", "fleet/ingest", "fleet/doors", "internal/e2e"},
}

func TestArrows(t *testing.T) {
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for pkg, imports := range packages {
		room := roomOf(pkg)
		allowed, ok := may[room]
		if !ok {
			t.Errorf("%s: the folder is not a room of ARCHITECTURE.md", pkg)
			continue
		}
		for _, imp := range imports {
			if ours, ok := strings.CutPrefix(imp, module); ok {
				if !within(ours, room) && !slices.ContainsFunc(allowed, func(a string) bool { return a == "*" || within(ours, a) }) {
					t.Errorf("%s imports %s, an arrow that points up; it may import: %s", pkg, ours, strings.Join(allowed, ", "))
				}
				continue
			}
			if prefix, rooms := owner(imp); prefix != "" && !slices.ContainsFunc(rooms, func(r string) bool { return within(pkg, r) }) {
				t.Errorf("%s imports %s, which only %s may", pkg, imp, strings.Join(rooms, ", "))
			}
		}
	}
}

// owner finds the longest rule of only that covers a foreign import.
func owner(imp string) (string, []string) {
	best := ""
	for prefix := range only {
		if strings.HasPrefix(imp, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return best, only[best]
}

func roomOf(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	if len(parts) > 1 {
		if two := parts[0] + "/" + parts[1]; may[two] != nil {
			return two
		}
	}
	return parts[0]
}

func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

// list returns the imports, tests of all build tags included, of every package of
// the module, by its path inside the module.
func list(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-tags", "e2e,crash", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}`, "ghostlight/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		packages[strings.TrimPrefix(fields[0], module)] = fields[1:]
	}
	return packages
}
