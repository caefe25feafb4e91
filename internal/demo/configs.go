package demo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/goccy/go-yaml"

	"ghostlight/slo/shipped"
	journeys "ghostlight/synthetics/shipped"
)

// What the demo asks of its programs: short intervals, so that a person sees
// things happen.
const (
	scrapeInterval = "5s"
	journeyEvery   = "5s"
	darkAfter      = "15s"
	currency       = "GBP"
)

// carriers are who carries the venues' uplinks, by turns.
var carriers = []string{"Fenland Mobile", "Northgate", "Kingsway Fibre"}

// m is a piece of a configuration file.
type m = map[string]any

// writeConfigs writes the files of all processes into the data folder.
func (l layout) writeConfigs() error {
	configs := map[string]any{
		l.config("fleet"): l.fleetConfig(),
		l.config("hub"):   l.hubConfig(),
	}
	for _, v := range l.venues {
		configs[l.config(v.edgecore())] = l.edgecoreConfig(v)
		configs[l.config(v.agent())] = l.agentConfig(v)
	}
	for _, dir := range []string{filepath.Dir(l.config("x")), l.logs()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return folderError(err)
		}
	}
	for path, config := range configs {
		text, err := yaml.MarshalWithOptions(config, yaml.Indent(2), yaml.IndentSequence(true))
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		// The files hold credentials.
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return folderError(err)
		}
	}
	journey, err := everyFewSeconds(journeys.RevenuePathYAML())
	if err != nil {
		return err
	}
	files := map[string][]byte{l.config("journey"): journey, l.config("objectives"): shipped.Checkout(), l.config("venue-objectives"): shipped.Venue()}
	for path, text := range files {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return folderError(err)
		}
	}
	return nil
}

// folderError says why the data folder cannot be prepared, and what to do.
func folderError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("prepare the data folder: the disk is full; free some space or name another folder with --data: %w", err)
	}
	return fmt.Errorf("prepare the data folder: %w; name a folder that can be written with --data", err)
}

// everyFewSeconds gives a journey the demo's schedule.
func everyFewSeconds(text []byte) ([]byte, error) {
	for key, value := range map[string]string{"schedule": `"@every ` + journeyEvery + `"`, "jitter": "500ms"} {
		found := false
		var out bytes.Buffer
		for line := range bytes.Lines(text) {
			if bytes.HasPrefix(line, []byte(key+":")) {
				found = true
				line = []byte(key + ": " + value + "\n")
			}
			out.Write(line)
		}
		if !found {
			return nil, fmt.Errorf("the shipped journey has no line %q to set for the demo", key+":")
		}
		text = out.Bytes()
	}
	return text, nil
}

func (l layout) fleetConfig() m {
	var nodes []m
	for _, v := range l.venues {
		nodes = append(nodes, m{
			"region": v.region, "venue": v.name, "name": v.node, "token": v.token, "contact": "front of house at " + v.name,
			"carrier": carriers[v.index%len(carriers)],
		})
	}
	notify := []m{{"name": "pager", "webhook": m{"url": url(l.pagerPort())}, "match": []m{{"label": "severity", "value": "page"}}}}
	if l.alertmanager != "" {
		notify = append(notify, m{"name": "alertmanager", "alertmanager": m{"url": l.alertmanager}})
	}
	return m{
		"listen":     addr(l.fleetPort()),
		"data_dir":   l.data("fleet"),
		"dark_after": darkAfter,
		"api_token":  l.apiToken,
		"public_url": url(l.fleetPort()),
		"nodes":      nodes,
		"notify":     notify,
	}
}

func (l layout) hubConfig() m {
	return m{
		"role":     "hub",
		"name":     "hub",
		"listen":   addr(l.hubPort()),
		"data_dir": l.data("hub"),
		"hub":      m{"token": l.hubToken},
		"catalog":  m{"seed": 1, "items": 40},
		"currency": currency,
	}
}

func (l layout) edgecoreConfig(v venue) m {
	return m{
		"role":          "node",
		"name":          v.node,
		"listen":        addr(v.edgePort()),
		"admin":         m{"listen": addr(v.adminPort()), "token": v.adminToken},
		"data_dir":      l.data(v.edgecore()),
		"hub":           m{"url": url(v.toHubPort()), "token": l.hubToken},
		"synthetic_key": l.synthetic,
		"otlp":          m{"endpoint": url(v.otlpHTTPPort())},
		"cache":         m{"verify_interval": scrapeInterval},
		"currency":      currency,
	}
}

func (l layout) agentConfig(v venue) m {
	return m{
		"node":     m{"region": v.region, "venue": v.name, "name": v.node},
		"data_dir": l.data(v.agent()),
		"fleet":    m{"url": url(v.toFleetPort()), "token": v.token},
		"page":     m{"listen": addr(v.pagePort())},
		"scrape": m{"interval": scrapeInterval, "timeout": "4s", "targets": []m{
			{"job": "edgecore", "url": url(v.adminPort()) + "/metrics"},
		}},
		"host":       m{"enabled": true, "interval": scrapeInterval, "power_supplies": l.power(v)},
		"otlp":       m{"grpc": addr(v.otlpGRPCPort()), "http": addr(v.otlpHTTPPort())},
		"edgecore":   m{"url": url(v.edgePort()), "admin_url": url(v.adminPort()), "admin_token": v.adminToken, "synthetic_key": l.synthetic},
		"journeys":   []m{{"file": l.config("journey")}},
		"objectives": []m{{"file": l.config("objectives")}, {"file": l.config("venue-objectives")}},
		"heal": m{
			"supervisor":   m{"socket": l.socket()},
			"restart":      m{"unit": v.edgecore(), "cool_down": "20s", "per_hour": 12},
			"cache_repair": m{"cool_down": "15s", "per_hour": 12},
		},
	}
}
