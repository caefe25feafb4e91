package demo

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each .yaml file of the archive is followed by a .txt file with what reading it
// came to.
func TestScenarioFiles(t *testing.T) {
	const path = "testdata/scenarios.txtar"
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	var out []txtar.File
	for _, f := range archive.Files {
		name, isCase := strings.CutSuffix(f.Name, ".yaml")
		if !isCase {
			continue
		}
		s, err := DecodeScenario(f.Name, f.Data)
		got := describe(s, err)
		out = append(out, f, txtar.File{Name: name + ".txt", Data: []byte(got)})
		if d := cmp.Diff(want[name+".txt"], got); d != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if *update {
		archive.Files = out
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func describe(s Scenario, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %v, ends at %v\n", s.Name, s.Duration, s.End())
	for _, p := range s.Steps {
		f, isFault := p.fault()
		fmt.Fprintf(&b, "%6v %s %s", p.At, p.Do, p.Venue)
		if isFault {
			fmt.Fprintf(&b, ": %s", describeFault(p))
			if err := f.Validate(); err != nil {
				fmt.Fprintf(&b, " INVALID %v", err)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestBuiltInScenarios(t *testing.T) {
	three := newLayout("", DefaultBasePort, 3).venueNames()
	for _, name := range []string{"default", "outage", "none"} {
		s, err := LoadScenario(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name {
			t.Errorf("scenario %s calls itself %s", name, s.Name)
		}
		if err := s.Fits(three, 150*time.Second); err != nil {
			t.Error(err)
		}
	}
	if _, err := LoadScenario("nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "built in are default") {
		t.Errorf("missing file: %v", err)
	}
}

// The outage scenario is the default one and three more blows inside the outage.
func TestOutageScenarioIsDefaultAndBlowsInTheDark(t *testing.T) {
	base, err := LoadScenario("default")
	if err != nil {
		t.Fatal(err)
	}
	outage, err := LoadScenario("outage")
	if err != nil {
		t.Fatal(err)
	}
	var cut Step
	for _, p := range base.Steps {
		if p.Do == "cut" {
			cut = p
		}
	}
	var rest []Step
	blows := map[string]int{}
	for _, p := range outage.Steps {
		hangs := p.Do == doHang && p.Venue == cut.Venue
		if p.Do != doKillAgent && p.Do != doKillFleet && !hangs {
			rest = append(rest, p)
			continue
		}
		blows[p.Do]++
		if p.At < cut.At || p.At.D() > cut.At.D()+cut.For.D() || p.Do == doKillAgent && p.Venue != cut.Venue {
			t.Errorf("%s of %q at %v is outside the outage of %s", p.Do, p.Venue, p.At, cut.Venue)
		}
	}
	if d := cmp.Diff(base.Steps, rest); d != "" {
		t.Errorf("other steps differ:\n%s", d)
	}
	if d := cmp.Diff(map[string]int{doKillAgent: 1, doKillFleet: 1, doHang: 1}, blows); d != "" {
		t.Errorf("blows:\n%s", d)
	}
}

func TestScenarioMustFit(t *testing.T) {
	s, err := LoadScenario("default")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fits([]string{"soho", "hackney"}, 0); err == nil || !strings.Contains(err.Error(), "needs the venue brixton") {
		t.Errorf("too few venues: %v", err)
	}
	three := []string{"soho", "hackney", "brixton"}
	if err := s.Fits(three, 139*time.Second); err == nil || !strings.Contains(err.Error(), "too short for scenario default, whose last step ends at 2m20s") {
		t.Errorf("too short: %v", err)
	}
	if err := s.Fits(three, 0); err != nil {
		t.Errorf("without an end: %v", err)
	}
}

func FuzzDecodeScenario(f *testing.F) {
	for _, name := range []string{"default", "outage"} {
		data, err := scenarios.ReadFile("scenarios/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("steps: [{at: -1s, do: cut, for: 9999h}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeScenario("fuzz.yaml", data)
		if err != nil {
			return
		}
		if s.End() > s.Duration.D() {
			t.Fatalf("accepted a scenario of %v that ends at %v", s.Duration, s.End())
		}
		for _, p := range s.Steps {
			if f, ok := p.fault(); ok && f.Validate() != nil {
				t.Fatalf("accepted a fault that cannot be set: %+v", f)
			}
		}
	})
}

// The example of the documentation is one, and every action is described there.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("SCENARIOS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	if _, err := DecodeScenario("SCENARIOS.md", []byte(example)); err != nil {
		t.Error(err)
	}
	for name, parameters := range actions() {
		_, row, ok := strings.Cut(string(text), "| `"+name+"` |")
		row, _, _ = strings.Cut(row, "\n")
		if !ok {
			t.Errorf("%s is not described", name)
		}
		for _, p := range parameters {
			if !strings.Contains(row, "`"+p+"`") {
				t.Errorf("%s: parameter %s is not described", name, p)
			}
		}
	}
}
