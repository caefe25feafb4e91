package status

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	kept "ghostlight/fleet/evidence" // the package has a type of that name
)

// Evidence reads the traces kept of what failed; [kept.Store] does. Get answers
// [kept.ErrUnknown].
type Evidence interface {
	Get(ctx context.Context, traceID, venue string) (kept.Trace, error)
	List(ctx context.Context, f kept.Filter) ([]kept.Listed, error)
}

// EvidenceDetail is the page of one kept trace.
type EvidenceDetail struct {
	NowMS      int64          `json:"now_ms"`
	Headline   Headline       `json:"headline"`
	TraceID    string         `json:"trace_id"`
	Region     string         `json:"region"`
	Venue      string         `json:"venue"`
	Node       string         `json:"node"`
	Kind       string         `json:"kind"` // what claimed it, such as journey
	Name       string         `json:"name"`
	AtMS       int64          `json:"at_ms"` // when that happened, the node's clock
	Detail     string         `json:"detail"`
	StartMS    float64        `json:"start_ms"` // of the first span, Unix milliseconds
	DurationMS float64        `json:"duration_ms"`
	Services   []string       `json:"services"`
	Bytes      int64          `json:"bytes"`
	UntilMS    int64          `json:"until_ms"` // when it is dropped for its age, the centre's clock
	Spans      []EvidenceSpan `json:"spans"`    // each after its parent, siblings by start
	Lines      []EvidenceLine `json:"logs"`     // by time
}

// EvidenceSpan is one span of a waterfall.
type EvidenceSpan struct {
	ID         string            `json:"span_id"`
	Parent     string            `json:"parent_span_id,omitempty"`
	Depth      int               `json:"depth"` // 0 for a root, and for one whose parent is not there
	Orphan     bool              `json:"orphan,omitempty"`
	Name       string            `json:"name"`
	Kind       string            `json:"kind"`
	Service    string            `json:"service"`
	OffsetMS   float64           `json:"offset_ms"` // from the start of the first span
	DurationMS float64           `json:"duration_ms"`
	Error      bool              `json:"error"`
	Message    string            `json:"message,omitempty"`
	Status     int               `json:"status,omitempty"` // HTTP; 0: none
	Attributes map[string]string `json:"attributes"`
	Events     []EvidenceEvent   `json:"events,omitempty"`
}

// EvidenceEvent is something that happened within a span.
type EvidenceEvent struct {
	Name       string            `json:"name"`
	OffsetMS   float64           `json:"offset_ms"`
	Attributes map[string]string `json:"attributes"`
}

// EvidenceLine is one log line, or several that are alike.
type EvidenceLine struct {
	AtMS       float64           `json:"at_ms"` // Unix milliseconds
	Severity   string            `json:"severity"`
	Failed     bool              `json:"failed"` // error or worse
	Text       string            `json:"text"`
	Service    string            `json:"service"`
	SpanID     string            `json:"span_id,omitempty"`
	Count      int64             `json:"count"` // lines that this one stands for
	Attributes map[string]string `json:"attributes"`
}

// EvidenceListed is one entry of the list of what is kept.
type EvidenceListed struct {
	TraceID string `json:"trace_id"`
	Region  string `json:"region"`
	Venue   string `json:"venue"`
	Node    string `json:"node"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	AtMS    int64  `json:"at_ms"`
	Detail  string `json:"detail"`
	Spans   int64  `json:"spans"`
	Lines   int64  `json:"logs"`
}

// Evidence is the view of one kept trace; an empty venue takes the latest claim of
// that id. [ErrUnknown] where nobody claimed it.
func (v *Views) Evidence(ctx context.Context, venue, traceID string) (EvidenceDetail, error) {
	if v.opt.Evidence == nil {
		return EvidenceDetail{}, fmt.Errorf("trace %q: %w", traceID, ErrUnknown)
	}
	t, err := v.opt.Evidence.Get(ctx, traceID, venue)
	if errors.Is(err, kept.ErrUnknown) {
		return EvidenceDetail{}, fmt.Errorf("trace %q: %w", traceID, ErrUnknown)
	}
	if err != nil {
		return EvidenceDetail{}, fmt.Errorf("evidence view: %w", err)
	}
	return toEvidence(t, v.opt.Now()), nil
}

// EvidenceList lists what is claimed at a venue, or everywhere, the latest first.
func (v *Views) EvidenceList(ctx context.Context, venue string, limit int) ([]EvidenceListed, error) {
	out := []EvidenceListed{}
	if v.opt.Evidence == nil {
		return out, nil
	}
	all, err := v.opt.Evidence.List(ctx, kept.Filter{Venue: venue, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("evidence list: %w", err)
	}
	for _, l := range all {
		out = append(out, EvidenceListed{
			TraceID: l.TraceID, Region: l.Region, Venue: l.Venue, Node: l.Node, Kind: l.Kind, Name: l.Name, AtMS: l.AtMS, Detail: l.Detail,
			Spans: l.Spans, Lines: l.Lines,
		})
	}
	return out, nil
}

func toEvidence(t kept.Trace, now time.Time) EvidenceDetail {
	d := EvidenceDetail{
		NowMS: now.UnixMilli(), TraceID: t.TraceID, Region: t.Region, Venue: t.Venue, Node: t.Node, Kind: t.Kind, Name: t.Name,
		AtMS: t.AtMS, Detail: t.Detail, Bytes: t.Bytes, UntilMS: t.UntilMS, Services: []string{}, Spans: []EvidenceSpan{}, Lines: []EvidenceLine{},
	}
	var start, end int64
	services := map[string]bool{}
	for i, s := range t.Spans {
		if i == 0 {
			start = s.Start
		}
		start, end = min(start, s.Start), max(end, s.End)
		services[s.Service] = true
	}
	delete(services, "")
	d.Services = slices.AppendSeq(d.Services, maps.Keys(services))
	slices.Sort(d.Services)
	d.StartMS, d.DurationMS = millis(start), millis(end-start)
	d.Spans = append(d.Spans, waterfall(t.Spans, start)...)
	for _, l := range t.Lines {
		d.Lines = append(d.Lines, EvidenceLine{
			AtMS: millis(l.At), Severity: l.Severity, Failed: l.Failed, Text: l.Text, Service: l.Service, SpanID: l.SpanID, Count: l.Count, Attributes: l.Attributes,
		})
	}
	d.Headline = Headline{Tone: "bad", Says: fmt.Sprintf("%s %s failed at %s", t.Kind, t.Name, t.Venue), Detail: t.Detail}
	return d
}

func millis(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }

// waterfall orders spans so that each follows its parent. A span whose parent is
// not there stands for itself: what was dropped on the way is not made up.
func waterfall(spans []kept.Span, start int64) []EvidenceSpan {
	known := make(map[string]bool, len(spans))
	for _, s := range spans {
		known[s.ID] = true
	}
	children := map[string][]int{}
	for i, s := range spans {
		parent := s.Parent
		if !known[parent] || parent == s.ID {
			parent = ""
		}
		children[parent] = append(children[parent], i)
	}
	out := make([]EvidenceSpan, 0, len(spans))
	placed := make([]bool, len(spans))
	var place func(i, depth int)
	place = func(i, depth int) {
		if placed[i] {
			return
		}
		placed[i] = true
		s := toSpan(spans[i], start)
		s.Depth, s.Orphan = depth, depth == 0 && s.Parent != ""
		out = append(out, s)
		for _, c := range children[spans[i].ID] {
			place(c, depth+1)
		}
	}
	for _, i := range children[""] {
		place(i, 0)
	}
	for i := range spans { // those whose parents run in a circle
		place(i, 0)
	}
	return out
}

func toSpan(s kept.Span, start int64) EvidenceSpan {
	out := EvidenceSpan{
		ID: s.ID, Parent: s.Parent, Name: s.Name, Kind: s.Kind, Service: s.Service, OffsetMS: millis(s.Start - start), DurationMS: millis(s.End - s.Start),
		Error: s.Error, Message: s.Message, Attributes: s.Attributes,
	}
	if code, err := strconv.Atoi(s.Attributes["http.response.status_code"]); err == nil {
		out.Status = code
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, EvidenceEvent{Name: e.Name, OffsetMS: millis(e.At - start), Attributes: e.Attributes})
	}
	return out
}
