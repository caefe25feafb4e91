package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ghostlight/buffer"
)

const good = `listen: 127.0.0.1:7600
data_dir: /var/lib/ghostlight
retention: 90d
dark_after: 20s
api_token: a token
memory_limit: 256MiB
limits: {block_bytes: 1MiB, series_per_block: 100, journal_bytes: 64MiB, request_bytes: 1MiB, node: {series: 101, bytes_per_second: 2KiB, samples_per_second: 9}}
otlp: {grpc: "127.0.0.1:4317"}
evidence: {max_age: 7d, max_bytes: 2MiB, hold: 5m, hold_bytes: 3MiB}
nodes:
  - {region: uk, venue: soho, name: soho-1, token: token-of-soho, contact: Ann}
  - {region: uk, venue: soho, name: soho-2, token: token-of-soho-2, carrier: red}
public_url: https://ghostlight.example.org
venues: [{name: soho, hours: "Mo-Su 18:00-02:00; Europe/London", contact: Night desk}]
notify:
  - {name: am, alertmanager: {url: "http://127.0.0.1:9093"}}
  - {name: phone, webhook: {url: "http://127.0.0.1:9000/hook"}, match: [{label: severity, value: page}], wait: 10s}
  - {name: desk, signed: {url: "https://desk.example.org/", secrets: [token-of-the-desk]}}
dead_man: {url: "https://watch.example.org/", every: 30s}
`

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestLoad(t *testing.T) {
	c, err := load(t, good)
	if err != nil {
		t.Fatal(err)
	}
	if c.Retention.D() != 90*24*time.Hour || c.Limits.BlockBytes != 1<<20 || len(c.Nodes) != 2 || c.Nodes[0].Contact != "Ann" {
		t.Errorf("%+v", c)
	}
	if want := (buffer.Source{Region: "uk", Venue: "soho", Node: "soho-2"}); c.Nodes[1].Source() != want {
		t.Errorf("source %v, want %v", c.Nodes[1].Source(), want)
	}
	if c.Contact(c.Nodes[0]) != "Night desk" || c.Nodes[1].Carrier != "red" || len(c.Hours()) != 1 || len(c.Notify) != 3 || c.Notify[1].Wait.D() != 10*time.Second || c.DeadMan.Every.D() != 30*time.Second {
		t.Errorf("%+v", c)
	}
	c, err = load(t, "data_dir: x\nnodes: [{region: a, venue: b, name: c, token: long-enough}]\n")
	if err != nil || c.Listen != "127.0.0.1:7600" || c.DarkAfter.D() != 15*time.Second || c.Retention.D() != 365*24*time.Hour || c.MemoryLimit != 512<<20 || c.DeadMan.Every.D() != time.Minute || c.Notify != nil {
		t.Errorf("defaults: %+v (%v)", c, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", "dark_after", "dark_aftr", `fleet.yaml:4:1: field "dark_aftr" is unknown; allowed: `},
		{"unknown key of a node", "contact: Ann", "phone: 5", `fleet.yaml:11:67: field "nodes[0].phone" is unknown; allowed: carrier, contact, name, region, token, venue`},
		{"no port", "listen: 127.0.0.1:7600", "listen: here", `fleet.yaml:1:1: field "listen" is not an address`},
		{"no folder", "data_dir: /var/lib/ghostlight", "data_dir: \"\"", `field "data_dir" is empty`},
		{"short retention", "90d", "1h", `field "retention" is 1h0m0s: allowed is 1d and more`},
		{"hasty", "20s", "10ms", `field "dark_after" is 10ms: allowed is 1s and more`},
		{"little memory", "256MiB", "1MiB", `field "memory_limit" is 1MiB: allowed is 128MiB and more`},
		{"large blocks", "block_bytes: 1MiB", "block_bytes: 1GiB", `field "limits.block_bytes" is 1GiB: allowed is 1KiB to 4MiB`},
		{"large requests", "request_bytes: 1MiB", "request_bytes: 1GiB", `field "limits.request_bytes" is 1GiB: allowed is 64KiB to 64MiB`},
		{"fewer series than a block", "series: 101", "series: 99", `field "limits.node.series" is 99: allowed is limits.series_per_block, 100, and more`},
		{"no bytes", "2KiB", "2B", `field "limits.node.bytes_per_second" is 2: allowed is 1KiB and more`},
		{"no samples", "samples_per_second: 9", "samples_per_second: 0", `field "limits.node.samples_per_second" is 0: allowed is 1 and more`},
		{"short evidence", "max_age: 7d", "max_age: 1s", `field "evidence.max_age" is 1s: allowed is 1h and more`},
		{"little evidence", "max_bytes: 2MiB", "max_bytes: 2", `field "evidence.max_bytes" is 2: allowed is 1MiB and more`},
		{"hasty evidence", "hold: 5m", "hold: 5s", `field "evidence.hold" is 5s: allowed is 1m and more`},
		{"no room for evidence", "hold_bytes: 3MiB", "hold_bytes: 3", `field "evidence.hold_bytes" is 3: allowed is 1MiB and more`},
		{"no gRPC port", "127.0.0.1:4317", "here", `field "otlp.grpc" is not an address`},
		{"no series", "series_per_block: 100", "series_per_block: 0", `field "limits.series_per_block" is 0`},
		{"small journal", "64MiB", "1MiB", `field "limits.journal_bytes" is 1MiB: allowed is 16MiB and more`},
		{"bad name", "venue: soho, name: soho-1", "venue: So Ho, name: soho-1", `field "nodes[0]" cannot be used: venue "So Ho" is not a name`},
		{"twice", "soho-2, token", "soho-1, token", `field "nodes[1]" is node uk/soho/soho-1 again: it is nodes[0] too`},
		{"short token", "token-of-soho,", "short,", `field "nodes[0].token" is shorter than 8 characters`},
		{"shared token", "token-of-soho-2,", "token-of-soho,", `field "nodes[1].token" is the token of nodes[0] too`},
		{"no page address", "https://ghostlight.example.org", "ghostlight", `field "public_url" is not an address`},
		{"nowhere", "venues: [{name: soho", "venues: [{name: camden", `field "venues[0].name" is "camden": no node is in that venue`},
		{"no hours", "Mo-Su 18:00", "Mo-Su 6pm", `field "venues[0].hours" cannot be used: opening hours`},
		{"a receiver twice", "name: phone", "name: am", `field "notify[1].name" is "am" again: it is notify[0] too`},
		{"a receiver without a name", "name: phone", "name: ''", `field "notify[1].name" is empty`},
		{"two receivers in one", "{name: am,", "{name: am, webhook: {url: 'http://127.0.0.1/'},", `field "notify[0]" names 2 receivers`},
		{"no receiver", `alertmanager: {url: "http://127.0.0.1:9093"}`, "wait: 1s", `field "notify[0]" names 0 receivers`},
		{"no receiver's address", "http://127.0.0.1:9093", "127.0.0.1", `field "notify[0].alertmanager.url" is not an address`},
		{"no secret", ", secrets: [token-of-the-desk]", "", `field "notify[2].signed.secrets" is empty`},
		{"short secret", "token-of-the-desk", "short", `field "notify[2].signed.secrets[0]" is shorter than 16 bytes`},
		{"a long wait", "wait: 10s", "wait: 2h", `field "notify[1].wait" is 2h0m0s: allowed is 0s to 1h`},
		{"no label", "label: severity", "label: ''", `field "notify[1].match[0].label" is empty`},
		{"no expression", "value: page}", "value: '(', regex: true}", `field "notify[1].match[0].value" is not a regular expression`},
		{"no dead man", "https://watch.example.org/", "watch", `field "dead_man.url" is not an address`},
		{"hasty dead man", "every: 30s", "every: 1ms", `field "dead_man.every" is 1ms: allowed is 1s and more`},
		{"wrong type", "retention: 90d", "retention: [1]", `fleet.yaml:3:`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(good, tt.old) {
				t.Fatalf("%q is not in the good file", tt.old)
			}
			_, err := load(t, strings.Replace(good, tt.old, tt.new, 1))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "token-of") {
				t.Errorf("the error tells a token: %v", err)
			}
		})
	}
	if _, err := load(t, "data_dir: x\n"); err == nil || !strings.Contains(err.Error(), `field "nodes" is empty`) {
		t.Errorf("no nodes: %v", err)
	}
}
