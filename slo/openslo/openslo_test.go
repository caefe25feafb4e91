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
			Budgeting:   slo.Occurrences, Window: month, PerEvent: true, Capacity: 60, MinTraffic: 120, Hash: slo.IndicatorHash("checkout-journey", path),
			Alerts: []slo.Tier{
				{Long: time.Hour, Short: 5 * time.Minute, Share: 0.02, Rate: 13.44, Urgency: slo.Page},
				{Long: 24 * time.Hour, Short: 2 * time.Hour, Share: 1.5 / 28, Rate: 1.5, Urgency: slo.Ticket},
			},
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
	want := map[string]string{
		"cache-hits": "cc1c7e55d24a2aad", "checkout-journey": "22a6773121f6cc79", "checkout-latency": "3290c00bcf2673ea",
		"checkout-success": "f6bfc5a138b08a41", "conversion-baseline": "baefd49259a1fee7", "conversion-velocity": "e489c9e5c3ef3b79",
		"operational-mttr": "01b8abfa91ad22b7", "power": "3efefc47f0cb52ef", "relay-latency": "cea0e5f588b5e7d1",
		"settlement-age": "45fe4db87c2bb970", "token-validation": "e8f43bcb0730fb5f", "uplink-availability": "0e77b20315515db0",
	}
	got := map[string]string{}
	for name, data := range map[string][]byte{"checkout.yaml": shipped.Checkout(), "venue.yaml": shipped.Venue()} {
		objectives, err := openslo.Decode(name, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objectives {
			got[o.Name] = fmt.Sprintf("%016x", o.Hash)
			if len(o.BurnTiers()) == 0 {
				t.Errorf("%s has no burn alert that can fire", o.Name)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What the venue's own metrics tell is taken from the right series.
func TestShippedIndicators(t *testing.T) {
	objectives, err := openslo.Decode("venue.yaml", shipped.Venue())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range objectives {
		got[o.Name] = o.Indicator.String()
	}
	want := map[string]string{
		"checkout-latency":    "counter edgecore_payment_duration_seconds_count",
		"relay-latency":       "counter edgecore_relay_latency_seconds_count",
		"cache-hits":          "counter edgecore_cache_requests_total",
		"token-validation":    "counter edgecore_tokens_validated_total",
		"settlement-age":      "samples of edgecore_settlement_oldest_seconds, lte 3600",
		"conversion-velocity": "check-ins that buy within 20m0s",
		"conversion-baseline": "check-ins that buy, against 28 days before",
		"uplink-availability": "minutes in contact",
		"operational-mttr":    "incidents at parity within 15m0s",
		"power":               "samples of ghostlight_battery_charge_ratio, gt 0.2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A file with everything by reference means what it says.
func TestEverythingByReference(t *testing.T) {
	file, err := txtar.ParseFile("testdata/accepted.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range file.Files {
		if f.Name != "policies.yaml" {
			continue
		}
		objectives, err := openslo.Decode(f.Name, f.Data)
		if err != nil {
			t.Fatal(err)
		}
		got := objectives[0]
		got.Document, got.Hash = nil, 0
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		want := slo.Objective{
			Name: "backlog", DisplayName: "Backlog", Description: "The backlog stays short.", Service: "shop", Audience: "guests",
			Target: 0.995, Budgeting: slo.Timeslices, Slice: slo.Slice{Minutes: 10, Target: 1},
			Indicator: slo.Indicator{Gauge: &slo.GaugeIndicator{
				Selector: slo.Selector{Metric: "queue_length", Matchers: []slo.Matcher{{Label: "queue", Op: "=", Value: "mail"}}}, Op: slo.LessOrEqual, Value: 60,
			}},
			Window: slo.Window{Count: 1, Unit: slo.Quarter, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, berlin), Zone: berlin},
			Alerts: []slo.Tier{
				{Long: time.Hour, Short: 5 * time.Minute, Share: 14.4 / (91 * 24), Rate: 14.4, Urgency: slo.Page},
				{Long: 72 * time.Hour, Short: 6 * time.Hour, Share: 3. / 91, Rate: 1, Urgency: slo.Ticket, After: 15 * time.Minute},
			},
			MinTraffic: 12, Missing: slo.MissingBad, Hours: "Mo-Fr 18:00-02:00; Sa,Su 10:00-24:00; Europe/London", FinalAfter: 60 * 24 * time.Hour,
			Exclusions: []slo.Exclusion{
				{Length: 30 * time.Minute, Rule: "DTSTART;TZID=Europe/Berlin:20260105T030000 RRULE:FREQ=WEEKLY"},
				{Length: 24 * time.Hour, Rule: "DTSTART;TZID=Europe/London:20261224T000000 RRULE:FREQ=YEARLY"},
			},
		}
		same := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return
	}
	t.Fatal("the case is gone")
}

func TestDocumentDecodesToTheSameObjective(t *testing.T) {
	file, err := txtar.ParseFile("testdata/accepted.txtar")
	if err != nil {
		t.Fatal(err)
	}
	file.Files = append(file.Files, txtar.File{Name: "shipped", Data: shipped.Checkout()}, txtar.File{Name: "venue", Data: shipped.Venue()})
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
		"long":     {strings.Repeat("#", 256<<10+1), "x:1:1: is 262145 bytes long; allowed: 262144"},
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
