package openslo_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
	"ghostlight/slo/shipped"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestShippedObjectives(t *testing.T) {
	got, err := openslo.Decode("checkout.yaml", shipped.Checkout())
	if err != nil {
		t.Fatal(err)
	}
	month := slo.Window{Count: 28, Unit: slo.Day, Rolling: true}
	payments := slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}}
	path := slo.Indicator{Journey: &slo.JourneyIndicator{Name: "revenue-path"}}
	want := []slo.Objective{
		{
			Name: "checkout-success", DisplayName: "Checkout success", Service: "checkout", Target: 0.99, Indicator: payments,
			Description: "Of the payments that visitors start, 99 % succeed or are declined by the card's issuer; none fails because of us.",
			Budgeting:   slo.Occurrences, Window: month, PerEvent: true, Capacity: 600, Hash: slo.IndicatorHash("checkout-success", payments),
		},
		{
			Name: "checkout-journey", DisplayName: "Checkout journey", Service: "checkout", Target: 0.99, Indicator: path,
			Description: "Of the runs of the revenue journey, from check-in to refund, 99 % pass.",
			Budgeting:   slo.Occurrences, Window: month, PerEvent: true, Capacity: 60, Hash: slo.IndicatorHash("checkout-journey", path),
		},
	}
	for i := range got {
		if len(got[i].Document) == 0 {
			t.Errorf("%s has no document", got[i].Name)
		}
		got[i].Document = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The hashes are in every bucket at the centre: they never change.
func TestShippedHashes(t *testing.T) {
	objectives, err := openslo.Decode("checkout.yaml", shipped.Checkout())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"checkout-success": "f6bfc5a138b08a41", "checkout-journey": "22a6773121f6cc79"}
	for _, o := range objectives {
		if got := fmt.Sprintf("%016x", o.Hash); got != want[o.Name] {
			t.Errorf("hash of %s is %s, want %s", o.Name, got, want[o.Name])
		}
	}
}

func TestDocumentDecodesToTheSameObjective(t *testing.T) {
	file, err := txtar.ParseFile("testdata/accepted.txtar")
	if err != nil {
		t.Fatal(err)
	}
	file.Files = append(file.Files, txtar.File{Name: "shipped", Data: shipped.Checkout()})
	for _, f := range file.Files {
		objectives, err := openslo.Decode(f.Name, f.Data)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		for _, o := range objectives {
			again, err := openslo.Decode(o.Name, o.Document)
			if err != nil {
				t.Fatalf("%s: document is not accepted: %v\n%s", o.Name, err, o.Document)
			}
			same := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
			if diff := cmp.Diff([]slo.Objective{o}, again, same); diff != "" {
				t.Errorf("%s: (-file +document):\n%s", o.Name, diff)
			}
		}
	}
}

func TestCanonicalDocument(t *testing.T) {
	objectives, err := openslo.Load("testdata/canonical.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := append(objectives[0].Document, '\n')
	if *update {
		if err := os.WriteFile("testdata/canonical.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/canonical.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o := objectives[0]
	if o.Target != 0.999 || o.Owner != "payments team, +44 20 7946 0000" || o.Capacity != 90 || o.PerEvent {
		t.Errorf("got %+v", o)
	}
}

// Two ways of writing one objective are one objective.
func TestReferenceAndInlineAreTheSame(t *testing.T) {
	file, err := txtar.ParseFile("testdata/accepted.txtar")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string][]byte{}
	for _, f := range file.Files {
		objectives, err := openslo.Decode(f.Name, f.Data)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		docs[f.Name] = objectives[0].Document
	}
	if a, b := docs["inline.yaml"], docs["reference.yaml"]; !bytes.Equal(a, b) {
		t.Errorf("inline:\n%s\nby reference:\n%s", a, b)
	}
}

// Each case is a file with its errors.
func TestErrors(t *testing.T) {
	cases, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(path)
			if err != nil || len(ar.Files) != 2 {
				t.Fatalf("%d files, %v; want slo.yaml and errors", len(ar.Files), err)
			}
			objectives, err := openslo.Decode("slo.yaml", ar.Files[0].Data)
			if err == nil {
				t.Fatalf("accepted: %+v", objectives)
			}
			got := err.Error() + "\n"
			if *update {
				ar.Files[1].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(ar.Files[1].Data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var placed *strictyaml.Error
			if !errors.As(err, &placed) || placed.Line == 0 {
				t.Errorf("names no line: %v", err)
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	if _, err := openslo.Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
}

// Shapes that would cost the parser seconds or gigabytes are refused by their
// tokens alone.
func TestCostlyShapesAreRefused(t *testing.T) {
	bomb := "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n"
	for name, c := range map[string]struct{ text, want string }{
		"long":     {strings.Repeat("#", 64<<10+1), "x:1:1: is 65537 bytes long; allowed: 65536"},
		"brackets": {strings.Repeat("[", 17), "x:1:17: is nested too deeply; allowed: 16 brackets"},
		"braces":   {strings.Repeat("{a: ", 17), "x:1:65: is nested too deeply; allowed: 16 brackets"},
		"entries":  {strings.Repeat("- ", 5), "x:1:9: begins too much on one line; allowed: 4"},
		"stairs":   {strings.Repeat(" ", 200) + "a: b\n", "x:1:201: is indented by 200; allowed: 199"},
		"aliases":  {bomb, "x:1:4: is an anchor, an alias or a tag; allowed: plain values, written out"},
		"tags":     {"a: !!binary x\n", "x:1:4: is an anchor, an alias or a tag; allowed: plain values, written out"},
	} {
		if _, err := openslo.Decode("x", []byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
}

func TestNoObjectives(t *testing.T) {
	for _, text := range []string{"", "---\n---\n", "# nothing\n"} {
		if _, err := openslo.Decode("empty.yaml", []byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// Whatever is decoded has a document that decodes to the same document.
func FuzzDecode(f *testing.F) {
	f.Add(shipped.Checkout())
	for _, pattern := range []string{"testdata/accepted.txtar", "testdata/errors/*.txtar"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			ar, err := txtar.ParseFile(path)
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range ar.Files {
				f.Add(file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objectives, err := openslo.Decode("fuzz", data)
		if err != nil {
			return
		}
		for _, o := range objectives {
			if err := o.Validate(); err != nil {
				t.Fatalf("decoded but not valid: %v", err)
			}
			again, err := openslo.Decode("document", o.Document)
			if err != nil || len(again) != 1 {
				t.Fatalf("document is not accepted: %v\n%s", err, o.Document)
			}
			if !bytes.Equal(again[0].Document, o.Document) || again[0].Hash != o.Hash {
				t.Fatalf("document changes:\n%s\n%s", o.Document, again[0].Document)
			}
		}
	})
}
