package strictyaml_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/go-cmp/cmp"

	"ghostlight/internal/strictyaml"
)

type target struct {
	URL    string              `yaml:"url"`
	Every  strictyaml.Duration `yaml:"every"`
	Labels map[string]string   `yaml:"labels"`
}

type inline struct{ Name string }

func (i *inline) UnmarshalYAML(node ast.Node) error {
	var v struct {
		Name string `yaml:"name"`
	}
	if err := strictyaml.DecodeNode("f.yaml", node, &v); err != nil {
		return err
	}
	i.Name = v.Name
	return nil
}

type config struct {
	Listen  string           `yaml:"listen"`
	Budget  strictyaml.Bytes `yaml:"budget"`
	Limit   int              `yaml:"limit"`
	On      bool             `yaml:"on"`
	Targets []target         `yaml:"targets"`
	Extra   map[string]any   `yaml:"extra"`
	Inline  []inline         `yaml:"inline"`
	Nested  *struct {
		Port uint16 `yaml:"port"`
	} `yaml:"nested"`
}

func (c *config) Validate() error {
	var errs []error
	for i := range c.Targets {
		if c.Targets[i].URL == "" {
			errs = append(errs, strictyaml.Under("targets", strictyaml.Under("["+string(rune('0'+i))+"]", strictyaml.Fieldf("url", "is empty: name what to scrape"))))
		}
	}
	if c.Limit < 0 {
		errs = append(errs, strictyaml.Fieldf("limit", "is %d; allowed: 0 and more", c.Limit))
	}
	return errors.Join(errs...)
}

func TestDecodeAcceptsWhatItKnows(t *testing.T) {
	got := config{Listen: "default", Limit: 7}
	err := strictyaml.Decode("f.yaml", []byte(`
# a comment
budget: 64MiB
on: true
targets:
  - url: http://x
    every: 2m30s
    labels: {a: b}
extra: {anything: [goes, 1]}
inline: [{name: n}]
nested: {port: 80}
`), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := config{Listen: "default", Limit: 7, Budget: 64 << 20, On: true, Extra: map[string]any{"anything": []any{"goes", uint64(1)}}, Inline: []inline{{"n"}}}
	want.Targets = []target{{URL: "http://x", Every: strictyaml.Duration(150 * time.Second), Labels: map[string]string{"a": "b"}}}
	want.Nested = got.Nested
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Nested == nil || got.Nested.Port != 80 {
		t.Errorf("nested = %+v, want port 80", got.Nested)
	}
}

func TestDecodeRefusals(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"unknown", "listen: a\nlimt: 3\n", `f.yaml:2:1: field "limt" is unknown; allowed: budget, extra, inline, limit, listen, nested, on, targets`},
		{"unknown nested", "targets:\n  - url: a\n    evry: 3s\n", `f.yaml:3:5: field "targets[0].evry" is unknown; allowed: every, labels, url`},
		{"wrong type", "limit: many\n", `f.yaml:1:8: field "limit" must be a whole number`},
		{"bool", "on: 3\n", `f.yaml:1:5: field "on" must be true or false`},
		{"duration", "targets: [{url: a, every: soon}]\n", `f.yaml:1:27: field "targets[0].every" "soon" is not a duration; write for example 15s, 2m30s or 500ms`},
		{"bytes", "budget: 1GB\n", `f.yaml:1:9: field "budget" "1GB" is not an amount of bytes; write for example 64MiB or 1GiB`},
		{"range", "nested: {port: 70000}\n", `f.yaml:1:16: field "nested.port" must be a whole number from 0 to 65535`},
		{"list", "targets: {url: a}\n", `f.yaml:1:11: field "targets" must be a list`},
		{"section", "nested: 3\n", `f.yaml:1:9: field "nested" must be a section with fields: port`},
		{"validate", "limit: -1\ntargets:\n  - every: 3s\n", "f.yaml:3:5: field \"targets[0].url\" is empty: name what to scrape\nf.yaml:1:1: field \"limit\" is -1; allowed: 0 and more"},
		{"inline", "inline:\n  - nme: x\n", `f.yaml:2:5: field "nme" is unknown; allowed: name`},
		{"two documents", "limit: 1\n---\nlimit: 2\n", `f.yaml:3:1: starts a second document; this file holds one`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := strictyaml.Decode("f.yaml", []byte(tc.in), &config{})
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSyntaxErrorHasPosition(t *testing.T) {
	err := strictyaml.Decode("f.yaml", []byte("a: [1\nb: 2\n"), &config{})
	if err == nil || !strings.HasPrefix(err.Error(), "f.yaml:") {
		t.Fatalf("got %v, want an error with file and line", err)
	}
	err = strictyaml.Decode("f.yaml", []byte("limit: 1\nlimit: 2\n"), &config{})
	if err == nil || !strings.Contains(err.Error(), "limit") {
		t.Fatalf("got %v, want the repeated key", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("targets: [{url: a}]\n"))
	f.Add([]byte("a: &x {b: 1}\nc: *x\n<<: *x\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		strictyaml.Decode("f.yaml", data, &config{}) //nolint:errcheck // only a panic is a failure
	})
}
