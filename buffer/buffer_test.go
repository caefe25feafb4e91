package buffer_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
)

func TestLaneNamesRoundTrip(t *testing.T) {
	for _, lane := range buffer.Lanes() {
		got, err := buffer.ParseLane(lane.String())
		if err != nil || got != lane {
			t.Errorf("lane %s is read as %s: %v", lane, got, err)
		}
	}
	for _, bad := range []string{"", "Revenue", "lane(0)", "lane(6)"} {
		if lane, err := buffer.ParseLane(bad); err == nil {
			t.Errorf("%q is read as lane %s", bad, lane)
		}
	}
	in := map[buffer.Lane]int{buffer.Revenue: 1, buffer.Logs: 5}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out map[buffer.Lane]int
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(in, out); d != "" || string(text) != `{"logs":5,"revenue":1}` {
		t.Errorf("lanes as JSON keys %s (-in +out):\n%s", text, d)
	}
	if _, err := json.Marshal(map[buffer.Lane]int{0: 1}); err == nil {
		t.Error("a lane that is none became JSON")
	}
}

func TestSourceNames(t *testing.T) {
	good := buffer.Source{Region: "eu-west", Venue: "soho.1", Node: "node_1"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if good.String() != "eu-west/soho.1/node_1" {
		t.Errorf("written as %s", good)
	}
	for _, bad := range []string{"", "..", ".hidden", "a/b", "A", "ä", strings.Repeat("a", 64)} {
		s := good
		s.Venue = bad
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "venue") {
			t.Errorf("venue %q: %v", bad, err)
		}
	}
}

func TestSealedBlockOpens(t *testing.T) {
	want := buffer.Header{Kind: buffer.SelfContained, Lane: buffer.Health, Session: 1<<64 - 1, Seq: 7, MinTime: -5, MaxTime: 9, Samples: 3, Records: 1}
	for _, first := range []buffer.Seq{0, 5} {
		want.First = first
		got, payload, err := buffer.Open(buffer.Seal(want, []byte("payload")))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" || string(payload) != "payload" {
			t.Errorf("payload %q, header (-want +got):\n%s", payload, d)
		}
	}
}

// A sealed block whose checksum is right but whose header cannot be is refused:
// the checksum protects from damage, not from a hostile sender.
func TestImpossibleHeadersAreRefused(t *testing.T) {
	good := buffer.Header{Kind: buffer.SelfContained, Lane: buffer.Health, Session: 1, Seq: 1}
	for name, change := range map[string]func(*buffer.Header){
		"kind":       func(h *buffer.Header) { h.Kind = 9 },
		"lane":       func(h *buffer.Header) { h.Lane = 0 },
		"session":    func(h *buffer.Header) { h.Session = 0 },
		"sequence":   func(h *buffer.Header) { h.Seq = 0 },
		"merged":     func(h *buffer.Header) { h.First = 2 },
		"time range": func(h *buffer.Header) { h.MinTime = 1 },
	} {
		h := good
		change(&h)
		if _, _, err := buffer.Open(buffer.Seal(h, nil)); !errors.Is(err, buffer.ErrCorrupt) {
			t.Errorf("impossible %s: %v", name, err)
		}
	}
}
