package provisioning_test

import (
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// datasources and dashboards are the parts of Grafana 12's provisioning formats
// that are used here; the decoder is strict, so others would be noticed.
type datasources struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name      string `yaml:"name"`
		UID       string `yaml:"uid"`
		Type      string `yaml:"type"`
		Access    string `yaml:"access"`
		URL       string `yaml:"url"`
		IsDefault bool   `yaml:"isDefault"`
		Editable  bool   `yaml:"editable"`
		JSONData  struct {
			HTTPMethod   string `yaml:"httpMethod"`
			TimeInterval string `yaml:"timeInterval"`
		} `yaml:"jsonData"`
	} `yaml:"datasources"`
}

type dashboards struct {
	APIVersion int `yaml:"apiVersion"`
	Providers  []struct {
		Name                  string `yaml:"name"`
		Folder                string `yaml:"folder"`
		FolderUID             string `yaml:"folderUid"`
		Type                  string `yaml:"type"`
		DisableDeletion       bool   `yaml:"disableDeletion"`
		AllowUIUpdates        bool   `yaml:"allowUiUpdates"`
		UpdateIntervalSeconds int    `yaml:"updateIntervalSeconds"`
		Options               struct {
			Path string `yaml:"path"`
		} `yaml:"options"`
	} `yaml:"providers"`
}

func load(t *testing.T, path string, out any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(data, out, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestDatasource(t *testing.T) {
	var f datasources
	load(t, "datasources/ghostlight.yaml", &f)
	if f.APIVersion != 1 || len(f.Datasources) != 1 {
		t.Fatalf("%+v", f)
	}
	d := f.Datasources[0]
	if d.Type != "prometheus" || d.Access != "proxy" || d.UID == "" {
		t.Errorf("%+v", d)
	}
	if u, err := url.Parse(d.URL); err != nil || u.Host != "127.0.0.1:7600" {
		t.Errorf("url %q is not the fleet's default address", d.URL)
	}
	if every, err := time.ParseDuration(d.JSONData.TimeInterval); err != nil || every != 15*time.Second {
		t.Errorf("timeInterval %q is not the agents' default scrape interval", d.JSONData.TimeInterval)
	}
}

func TestDashboards(t *testing.T) {
	var f dashboards
	load(t, "dashboards/ghostlight.yaml", &f)
	if f.APIVersion != 1 || len(f.Providers) != 1 || f.Providers[0].Type != "file" || f.Providers[0].Options.Path == "" {
		t.Errorf("%+v", f)
	}
}
