package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each file of testdata holds an agent.yaml, files beside it, and what reading it
// complains about, or "ok".
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			arc, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			want := &arc.Files[len(arc.Files)-1]
			if want.Name != "says" {
				t.Fatalf("the last file is %s, not says", want.Name)
			}
			for _, f := range arc.Files[:len(arc.Files)-1] {
				if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := "ok\n"
			if _, err := Load(filepath.Join(dir, "agent.yaml")); err != nil {
				got = strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
			}
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(arc), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const small = `
node: {region: london, venue: soho, name: soho-1}
data_dir: d
fleet: {url: "http://f", token: t}
`

func TestDefaults(t *testing.T) {
	c, err := Decode("agent.yaml", []byte(small+`
scrape: {interval: 5s, targets: [{job: a, url: "http://x/m"}]}
edgecore: {url: "http://e:1/", admin_url: "http://e:2", admin_token: t, synthetic_key: "01234567890123456789012345678901"}
journeys: [{shipped: revenue-path}]
objectives: [{shipped: checkout}, {shipped: venue}]
heal: {systemd: true, restart: {unit: u}, cache_repair: {}}
`))
	if err != nil {
		t.Fatal(err)
	}
	tgt := c.Scrape.Targets[0]
	if tgt.Interval != c.Scrape.Interval || tgt.Timeout != c.Scrape.Interval || tgt.BodyLimit != 16<<20 {
		t.Errorf("target is %+v", tgt)
	}
	if c.Heal.Restart.Failures != 2 || c.Heal.Restart.PerHour != 6 || c.Heal.CacheRepair.PerHour != 12 {
		t.Errorf("heal is %+v, %+v", c.Heal.Restart, c.Heal.CacheRepair)
	}
	if diff := cmp.Diff(map[string]string{"base": "http://e:1", "relay": "ws://e:1/v1/relay"}, c.Vars()); diff != "" {
		t.Error(diff)
	}
	if len(c.AllJourneys()) != 1 || len(c.AllObjectives()) != 12 {
		t.Errorf("%d journeys, %d objectives", len(c.AllJourneys()), len(c.AllObjectives()))
	}
}

func TestRenderOpensOnlyWhatIsConfigured(t *testing.T) {
	c, err := Decode("agent.yaml", []byte(small+"otlp: {grpc: \"\", http: \"\"}\nhost: {enabled: false}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Render()
	if diff := cmp.Diff(map[string]any{"scrape": nil, "journeys": nil, "outcomes": nil}, got["receivers"]); diff != "" {
		t.Error(diff)
	}
	c, err = Decode("agent.yaml", []byte(small+"otlp: {grpc: \"\", http: \"127.0.0.1:1\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	pipelines := c.Render()["service"].(map[string]any)["pipelines"].(map[string]any)
	for id, limited := range map[string]bool{"metrics": true, "traces": true, "logs": true, "metrics/host": false, "metrics/node": false} {
		p, ok := pipelines[id].(map[string]any)
		if _, has := p["processors"]; !ok || has != limited {
			t.Errorf("pipeline %s: present %v, memory limiter %v, want %v", id, ok, has, limited)
		}
	}
}

func TestPlaceWithoutAComponent(t *testing.T) {
	c := &Config{name: "agent.yaml"}
	if got := c.Place(errors.New("something\n  else"), nil).Error(); got != "agent.yaml: something else" {
		t.Errorf("got %q", got)
	}
}
