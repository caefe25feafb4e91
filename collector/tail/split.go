package tail

import (
	"fmt"
	"path"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// fragmentSpans is how many spans of one request and trace are encoded together.
const fragmentSpans = 64

// routes finds the traces that earn money and those that are long by nature.
type routes struct{ revenue, long, attributes []string }

func newRoutes(o Traces) (routes, error) {
	for _, globs := range [][]string{o.RevenueRoutes, o.LongRoutes, o.RevenueAttributes} {
		for _, g := range globs {
			if _, err := path.Match(g, ""); err != nil || g == "" {
				return routes{}, fmt.Errorf("%q is not a glob", g)
			}
		}
	}
	return routes{revenue: o.RevenueRoutes, long: o.LongRoutes, attributes: o.RevenueAttributes}, nil
}

func matches(globs []string, s string) bool {
	for _, g := range globs {
		if ok, err := path.Match(g, s); ok && err == nil {
			return true
		}
	}
	return false
}

// Traces takes spans, which the caller gives up. They are acknowledged to their
// sender at once; see the package comment.
func (t *Tail) Traces(td ptrace.Traces) {
	s := splitter{t: t, open: map[pcommon.TraceID]*part{}}
	for _, rs := range td.ResourceSpans().All() {
		s.resource(rs)
	}
	for _, p := range s.open {
		s.close(p)
	}
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.privacy.add(s.seen)
	t.count.spansIn += int64(s.invalid)
	t.count.drop(Invalid, s.invalid)
	for _, f := range s.done {
		t.take(f, now)
	}
}

// splitter sorts the spans of one request by trace.
type splitter struct {
	t       *Tail
	open    map[pcommon.TraceID]*part
	done    []fragment
	invalid int
	seen    redactions
	at      int // counts resources and scopes, so that a part knows which it is in
}

// part is the fragment of a trace that is being filled.
type part struct {
	td    ptrace.Traces
	into  ptrace.SpanSlice
	at    int
	spans int
	trace pcommon.TraceID
	facts facts
}

func (s *splitter) resource(rs ptrace.ResourceSpans) {
	synthetic := false
	if v, ok := rs.Resource().Attributes().Get("service.name"); ok {
		synthetic = v.Str() == JourneyService
	}
	s.seen.add(s.t.privacy.attributes(rs.Resource().Attributes()))
	for _, ss := range rs.ScopeSpans().All() {
		s.seen.add(s.t.privacy.attributes(ss.Scope().Attributes()))
		s.at++
		for _, span := range ss.Spans().All() {
			if span.TraceID().IsEmpty() {
				s.invalid++
				continue
			}
			f := s.t.factsOf(span)
			if synthetic {
				f.always = stronger(f.always, Synthetic)
			}
			s.seen.add(s.t.privacy.span(span))
			s.put(rs, ss, span, f)
		}
	}
}

func (s *splitter) put(rs ptrace.ResourceSpans, ss ptrace.ScopeSpans, span ptrace.Span, f facts) {
	id := span.TraceID()
	p := s.open[id]
	if p != nil && p.spans >= fragmentSpans {
		s.close(p)
		p = nil
	}
	if p == nil {
		p = &part{td: ptrace.NewTraces(), trace: id, facts: f}
		s.open[id] = p
	}
	if p.at != s.at {
		to := p.td.ResourceSpans().AppendEmpty()
		rs.Resource().CopyTo(to.Resource())
		scope := to.ScopeSpans().AppendEmpty()
		ss.Scope().CopyTo(scope.Scope())
		p.into, p.at = scope.Spans(), s.at
	}
	span.MoveTo(p.into.AppendEmpty())
	p.facts.merge(f)
	p.spans++
}

func (s *splitter) close(p *part) {
	body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(p.td)
	if err != nil {
		s.invalid += p.spans
		return
	}
	s.done = append(s.done, fragment{trace: p.trace, body: body, spans: p.spans, facts: p.facts})
}

// JourneyService is the service name of the node's own journeys.
const JourneyService = "ghostlight-synthetics"

// factsOf reads what decides, before anything is removed from the span.
func (t *Tail) factsOf(span ptrace.Span) facts {
	f := facts{
		start: uint64(span.StartTimestamp()), end: uint64(span.EndTimestamp()),
		entryAt: uint64(span.StartTimestamp()), entryID: span.SpanID(), entry: span.Name(),
		upstream: upstreamThreshold(span.TraceState().AsRaw()),
	}
	route := ""
	if _, path, ok := strings.Cut(span.Name(), " "); ok {
		route = path
	}
	named := false
	for key, v := range span.Attributes().All() {
		switch key {
		case "http.route":
			route, named = v.Str(), true
		case "url.path":
			if !named {
				route = v.Str()
			}
		case "http.response.status_code", "http.status_code":
			if v.Int() >= 500 {
				f.always = stronger(f.always, Error)
			}
		case "journey.name", "journey.step":
			f.always = stronger(f.always, Synthetic)
		}
		if matches(t.routes.attributes, key) {
			f.always = stronger(f.always, Revenue)
		}
	}
	if span.Status().Code() == ptrace.StatusCodeError {
		f.always = Error
	}
	if route != "" && matches(t.routes.revenue, route) {
		f.always = stronger(f.always, Revenue)
	}
	f.long = route != "" && matches(t.routes.long, route)
	return f
}
