package deploy_test

import (
	"os"
	"strings"
	"testing"

	agent "ghostlight/collector/config"
	"ghostlight/edgecore"
	fleet "ghostlight/fleet/config"
)

// TestExamples reads the example configurations as the programs do, and checks
// that they fit together: the fleet knows the node, the agent knows edgecore, the
// node knows the hub.
func TestExamples(t *testing.T) {
	f, err := fleet.Load("examples/fleet.yaml")
	if err != nil {
		t.Error(err)
	}
	a, err := agent.Load("examples/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e, err := edgecore.LoadConfig("examples/edgecore.yaml")
	if err != nil {
		t.Error(err)
	}
	h, err := edgecore.LoadConfig("examples/hub.yaml")
	if err != nil {
		t.Error(err)
	}
	if t.Failed() {
		return
	}
	node := f.Nodes[0]
	if node.Source() != a.Node.Source() || node.Token != a.Fleet.Token {
		t.Errorf("the fleet lists %s, the agent is %s, or their tokens differ", node.Source(), a.Node.Source())
	}
	if a.Edgecore.AdminToken != e.Admin.Token || a.Edgecore.SyntheticKey != e.SyntheticKey {
		t.Error("the agent's keys to edgecore are not edgecore's")
	}
	if e.Hub.Token != h.Hub.Token || h.Role != edgecore.RoleHub {
		t.Error("the node's key to the hub is not the hub's")
	}
	if len(a.AllJourneys()) == 0 || len(a.AllObjectives()) == 0 {
		t.Error("the agent's example watches nothing")
	}
	for name, dir := range map[string]string{"agent": a.DataDir, "edgecore": e.DataDir, "hub": h.DataDir, "fleet": f.DataDir} {
		unit := strings.Replace(name, "hub", "edgecore", 1)
		text, err := os.ReadFile("systemd/ghostlight-" + unit + ".service")
		if err != nil {
			t.Fatal(err)
		}
		if state := strings.TrimPrefix(dir, "/var/lib/"); !strings.Contains(string(text), "\nStateDirectory="+state+"\n") {
			t.Errorf("the %s example keeps its data in %s, which its unit does not give it", name, dir)
		}
	}
	if unit := a.Heal.Restart.Unit; unit != "ghostlight-edgecore.service" {
		t.Errorf("the agent restarts %s", unit)
	}
}

// TestPolkitRule keeps the one thing that the agent may do to units in step with
// its configuration.
func TestPolkitRule(t *testing.T) {
	rule, err := os.ReadFile("systemd/50-ghostlight-agent.rules")
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("systemd/ghostlight-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"ghostlight-edgecore.service"`, `"restart"`, `"ghostlight-agent"`} {
		if !strings.Contains(string(rule), want) {
			t.Errorf("the polkit rule does not name %s", want)
		}
	}
	if !strings.Contains(string(unit), "\nUser=ghostlight-agent\n") {
		t.Error("the agent does not run as the user whom the polkit rule names")
	}
}
