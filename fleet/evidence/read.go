package evidence

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// A Span is one span as people read it. Times are Unix nanoseconds of the node's
// clock.
type Span struct {
	ID, Parent string // hex; Parent is empty for a root
	Name       string
	Kind       string // server, client, internal, producer, consumer or unspecified
	Service    string
	Start, End int64
	Error      bool
	Message    string // of the status
	Attributes map[string]string
	Events     []Event
}

// An Event is something that happened in a span.
type Event struct {
	Name       string
	At         int64
	Attributes map[string]string
}

// A Line is one log line; where it stands for several, Count says for how many.
type Line struct {
	At         int64
	Severity   string
	Failed     bool // error or worse
	Text       string
	Service    string
	SpanID     string
	Count      int64
	Attributes map[string]string
}

// read adds one stored part.
func (t *Trace) read(kind string, body []byte) error {
	t.Bytes += int64(len(body))
	if kind == KindLogs {
		return t.readLines(body)
	}
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
	if err != nil {
		return fmt.Errorf("stored spans: %w", err)
	}
	for _, rs := range td.ResourceSpans().All() {
		service := text(rs.Resource().Attributes(), "service.name")
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				t.Spans = append(t.Spans, spanOf(s, service))
			}
		}
	}
	return nil
}

func spanOf(s ptrace.Span, service string) Span {
	id, parent := s.SpanID(), s.ParentSpanID()
	out := Span{
		ID: hex.EncodeToString(id[:]), Name: s.Name(), Kind: strings.ToLower(s.Kind().String()), Service: service,
		Start: int64(s.StartTimestamp()), End: int64(s.EndTimestamp()),
		Error: s.Status().Code() == ptrace.StatusCodeError, Message: s.Status().Message(), Attributes: texts(s.Attributes()),
	}
	if !parent.IsEmpty() {
		out.Parent = hex.EncodeToString(parent[:])
	}
	out.End = max(out.End, out.Start)
	for _, e := range s.Events().All() {
		out.Events = append(out.Events, Event{Name: e.Name(), At: int64(e.Timestamp()), Attributes: texts(e.Attributes())})
	}
	return out
}

func (t *Trace) readLines(body []byte) error {
	ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(body)
	if err != nil {
		return fmt.Errorf("stored log lines: %w", err)
	}
	for _, rl := range ld.ResourceLogs().All() {
		service := text(rl.Resource().Attributes(), "service.name")
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				t.Lines = append(t.Lines, lineOf(lr, service))
			}
		}
	}
	return nil
}

// foldCount is the attribute by which a node says how many lines one stands for.
const foldCount = "ghostlight.fold.count"

func lineOf(lr plog.LogRecord, service string) Line {
	at := lr.Timestamp()
	if at == 0 {
		at = lr.ObservedTimestamp()
	}
	level := lr.SeverityText()
	if level == "" {
		level = strings.ToLower(lr.SeverityNumber().String())
	}
	out := Line{
		At: int64(at), Severity: level, Failed: lr.SeverityNumber() >= plog.SeverityNumberError, Text: lr.Body().AsString(),
		Service: service, Count: 1, Attributes: texts(lr.Attributes()),
	}
	if span := lr.SpanID(); !span.IsEmpty() {
		out.SpanID = hex.EncodeToString(span[:])
	}
	if n, err := strconv.ParseInt(out.Attributes[foldCount], 10, 64); err == nil && n > 0 {
		out.Count = n
	}
	return out
}

// order sorts what came in any order, and drops spans that came twice.
func (t *Trace) order() {
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.Start, b.Start), strings.Compare(a.ID, b.ID)) })
	t.Spans = slices.CompactFunc(t.Spans, func(a, b Span) bool { return a.ID == b.ID && a.Start == b.Start && a.Name == b.Name })
	slices.SortStableFunc(t.Lines, func(a, b Line) int { return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.Text, b.Text)) })
}

func text(m pcommon.Map, key string) string {
	if v, ok := m.Get(key); ok {
		return v.AsString()
	}
	return ""
}

func texts(m pcommon.Map) map[string]string {
	out := make(map[string]string, m.Len())
	for k, v := range m.All() {
		out[k] = v.AsString()
	}
	return out
}
