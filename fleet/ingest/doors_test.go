package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// epoch is a clock at some moment.
func epoch() *clock {
	c := &clock{}
	c.ms.Store(1e12)
	return c
}

func pass(c *clock, d time.Duration) { c.ms.Add(d.Milliseconds()) }

// part is n series with one sample each.
func part(name string, n int) Part {
	b := delta.Batch{}
	for i := range n {
		b.Series = append(b.Series, delta.Series{
			Labels:  []delta.Label{{Name: "__name__", Value: name}, {Name: "i", Value: fmt.Sprint(i)}},
			Samples: []delta.Sample{{Time: 1000, Value: 1}},
		})
	}
	return Part{Lane: buffer.Detail, Batch: b}
}

// What comes through a door is journalled and applied, counted by door, survives a
// restart, and leaves the books of agents alone.
func TestDoorsAreCountedApart(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	r.send(block(t, buffer.Detail, 1, 5))
	record := Part{Lane: buffer.Traces, Batch: delta.Batch{Records: []delta.Record{{Kind: "note", Key: "k", Time: 1, Body: []byte("b")}}}}
	meta := Part{Lane: buffer.Detail, Batch: delta.Batch{Series: []delta.Series{{Labels: []delta.Label{{Name: "__name__", Value: "m"}}, Meta: delta.Meta{Type: delta.Counter}}}}}
	for range 2 { // a repeat is stored once and counted twice
		if err := r.Take(t.Context(), soho, "otlp", 100, []Part{part("a", 3), record, meta}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(r *rig) {
		t.Helper()
		r.settle()
		if d := cmp.Diff(map[buffer.Source]map[buffer.Lane]Accepted{soho: {buffer.Detail: {Blocks: 1, Samples: 5}}}, r.Accepted()); d != "" {
			t.Errorf("the agent's books (-want +got):\n%s", d)
		}
		got := map[buffer.Lane]Accepted{}
		for _, a := range r.AcceptedByDoors() {
			if a.Source != soho || a.Door != "otlp" {
				t.Errorf("%+v", a)
			}
			got[a.Lane] = a.Accepted
		}
		if d := cmp.Diff(map[buffer.Lane]Accepted{buffer.Detail: {Blocks: 4, Samples: 6}, buffer.Traces: {Blocks: 2, Records: 2}}, got); d != "" {
			t.Errorf("the door's (-want +got):\n%s", d)
		}
	}
	check(r)
	if n := r.series.count(); n != 8 {
		t.Errorf("%d samples are stored, want 5 of the agent and 3 of the door", n)
	}
	r.stop()
	check(newRig(t, dir, nil))
}

func TestTakeRefusesWhatCannotBeSealed(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	bad := Part{Lane: buffer.Detail, Batch: delta.Batch{Series: []delta.Series{{Samples: []delta.Sample{{}}}}}}
	if err := r.Take(t.Context(), soho, "otlp", 1, []Part{bad}); !errors.Is(err, delta.ErrInvalid) {
		t.Errorf("series without a name: %v", err)
	}
}

func TestDoorsWaitForAFullJournal(t *testing.T) {
	r := newRig(t, t.TempDir(), func(o *Options) { o.JournalBytes = 10 })
	var p *Pressure
	if err := r.Take(t.Context(), soho, "otlp", 1, []Part{part("a", 1)}); !errors.As(err, &p) || p.Overflow || p.Reason != "journal_full" || p.After <= 0 {
		t.Errorf("full journal: %v", err)
	}
	r.stop()
	if err := r.Take(t.Context(), soho, "otlp", 1, nil); err != nil {
		t.Errorf("nothing to take: %v", err)
	}
}

func TestDoorsAreToldWhenTheFleetStops(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	r.stop()
	var p *Pressure
	if err := r.Take(t.Context(), soho, "otlp", 1, []Part{part("a", 1)}); !errors.As(err, &p) || p.Overflow {
		t.Errorf("stopped: %v", err)
	}
}

// Each limit puts off the node that is over it, for a while, and nobody else; the
// revenue lane has a quarter more.
func TestNodeLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits NodeLimits
		reason string
		says   string
		until  time.Duration // when it is taken again
	}{
		{"series", NodeLimits{Series: 8}, OverSeries, "node uk/soho/soho-1 sends more than 8 series: it has 8, and this would be 2 new ones", 2 * seriesHalfLife},
		{"bytes", NodeLimits{BytesPerSecond: 10}, OverBytes, "node uk/soho/soho-1 sends more than 10 bytes per second", time.Minute},
		{"samples", NodeLimits{SamplesPerSecond: 1}, OverSamples, "node uk/soho/soho-1 sends more than 1 samples per second", time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := epoch()
			r := newRig(t, t.TempDir(), func(o *Options) { o.Limits, o.Now = tt.limits, c.now })
			take := func(src buffer.Source, p Part) error { return r.Take(t.Context(), src, "otlp", 120, []Part{p}) }
			first := part("a", 8)
			if tt.reason == OverSamples {
				first = part("a", 12)
			}
			if err := take(soho, first); err != nil {
				t.Fatalf("within the limit: %v", err)
			}
			var p *Pressure
			if err := take(soho, part("b", 2)); !errors.As(err, &p) || !p.Overflow || p.Reason != tt.reason || !strings.Contains(p.Says, tt.says) || p.After < time.Second || p.After > time.Minute {
				t.Fatalf("over the limit: %+v", err)
			}
			if err := take(camden, part("b", 2)); err != nil {
				t.Errorf("another node: %v", err)
			}
			if status, answer := r.post(wire.BlocksPath, sohoToken, block(t, buffer.Health, 1, 1)); status != http.StatusTooManyRequests || !strings.Contains(answer, "sends more than") {
				t.Errorf("an agent's block over the limit: %d %s", status, answer)
			}
			if status, answer := r.post(wire.BlocksPath, sohoToken, block(t, buffer.Revenue, 1, 1)); status != http.StatusOK {
				t.Errorf("revenue: %d %s", status, answer)
			}
			if d := cmp.Diff(map[buffer.Source]map[string]int64{soho: {tt.reason: 2}}, r.Overflow()); d != "" {
				t.Errorf("overflow (-want +got):\n%s", d)
			}
			if n := r.metric("ghostlight_fleet_node_overflow_total"); n != 2 {
				t.Errorf("overflow counter %g", n)
			}
			pass(c, tt.until)
			if status, answer := r.post(wire.BlocksPath, sohoToken, block(t, buffer.Health, 1, 1)); status != http.StatusOK {
				t.Errorf("the block that was put off, later: %d %s", status, answer)
			}
		})
	}
}

// A series that is sent again is no new one, and one not sent for an hour is
// forgotten.
func TestSeriesAreForgotten(t *testing.T) {
	c := epoch()
	r := newRig(t, t.TempDir(), func(o *Options) { o.Limits, o.Now = NodeLimits{Series: 4}, c.now })
	for range 8 { // four hours
		if err := r.Take(t.Context(), soho, "otlp", 1, []Part{part("a", 3)}); err != nil {
			t.Fatalf("the same series: %v", err)
		}
		pass(c, seriesHalfLife)
	}
	if err := r.Take(t.Context(), soho, "otlp", 1, []Part{part("b", 2)}); err == nil {
		t.Error("two new series beside three live ones were taken")
	}
	pass(c, 10*seriesHalfLife)
	if err := r.Take(t.Context(), soho, "otlp", 1, []Part{part("b", 4)}); err != nil {
		t.Errorf("after the old ones were forgotten: %v", err)
	}
}

func TestAdmitTurnsAwayUnread(t *testing.T) {
	c := epoch()
	r := newRig(t, t.TempDir(), func(o *Options) { o.Limits, o.Now = NodeLimits{BytesPerSecond: 1}, c.now })
	if err := r.Admit(soho); err != nil {
		t.Fatal(err)
	}
	if err := r.Take(t.Context(), soho, "otlp", 1000, []Part{part("a", 1)}); err != nil {
		t.Fatalf("a burst: %v", err)
	}
	var p *Pressure
	if err := r.Admit(soho); !errors.As(err, &p) || p.Reason != OverBytes || p.After != time.Minute {
		t.Errorf("after the burst: %+v", err)
	}
	pass(c, 16*time.Minute+31*time.Second)
	if err := r.Admit(soho); err != nil {
		t.Errorf("after it was made up for: %v", err)
	}
}
