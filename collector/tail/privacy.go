package tail

import (
	"fmt"
	"path"
	"sync"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Bounds of what one span or line may say.
const (
	maxValue     = 1 << 10 // bytes of a value, a name or a message
	maxStack     = 4 << 10 // bytes of exception.stacktrace and of a log line
	maxAttrs     = 64      // attributes of one span, event or line
	maxEvents    = 32      // events and links of one span
	maxKeysKnown = 4096    // verdicts on attribute keys that are remembered
)

// DefaultAttributes are globs of the attribute keys that may leave the node. They
// name what was called, how it ended and which program it was, never who called or
// what was in it.
func DefaultAttributes() []string {
	return []string{
		"service.*", "telemetry.sdk.*", "deployment.environment*", "host.name", "os.type", "process.runtime.*",
		"http.*", "url.path", "url.scheme", "server.port", "server.address", "network.protocol.*", "network.transport",
		"rpc.*", "db.system*", "db.operation*", "db.collection.name", "db.namespace", "messaging.system", "messaging.operation*", "messaging.destination.name",
		"error.*", "exception.*", "otel.*", "code.*", "thread.name", "log.*", "event.name", "level", "logger", "component",
		"journey.*", "ghostlight.*",
	}
}

// never are globs of keys that no configuration lets through: what may hold
// bodies, credentials, addresses of people or of cards.
var never = [...]string{
	"*.header.*", "*.body", "*.body.*", "*.cookie*", "*authorization*", "*password*", "*secret*", "*token*", "*email*", "*card*",
	"*.query", "*.query.*", "url.full", "http.url", "http.target", "http.client_ip", "enduser.*", "user.*", "client.address", "db.statement",
}

// checkGlob reports why a glob of attribute keys cannot be used.
func checkGlob(glob string) error {
	if _, err := path.Match(glob, ""); err != nil || glob == "" {
		return fmt.Errorf("%q is not a glob of attribute keys, such as shop.*", glob)
	}
	return nil
}

// redactions counts what was withheld.
type redactions struct {
	Attributes int64 // attributes that are not on the list, or too many
	Values     int64 // values in which something was masked
	Cut        int64 // values that were cut short
}

func (r *redactions) add(o redactions) {
	r.Attributes, r.Values, r.Cut = r.Attributes+o.Attributes, r.Values+o.Values, r.Cut+o.Cut
}

// privacy keeps what may leave the node. It is safe for concurrent use.
type privacy struct {
	allow []string
	mu    sync.RWMutex
	known map[string]bool // verdicts by key; guarded by mu
}

func newPrivacy(also []string) (*privacy, error) {
	for _, g := range also {
		if err := checkGlob(g); err != nil {
			return nil, err
		}
	}
	return &privacy{allow: append(DefaultAttributes(), also...), known: map[string]bool{}}, nil
}

// passes reports whether an attribute of this key may leave.
func (p *privacy) passes(key string) bool {
	p.mu.RLock()
	ok, known := p.known[key]
	p.mu.RUnlock()
	if known {
		return ok
	}
	ok = len(key) <= maxValue && !matches(never[:], key) && matches(p.allow, key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) < maxKeysKnown && len(key) <= 128 {
		p.known[key] = ok
	}
	return ok
}

// attributes removes what is not on the list and masks what is left.
func (p *privacy) attributes(m pcommon.Map) redactions {
	var r redactions
	kept := 0
	m.RemoveIf(func(key string, v pcommon.Value) bool {
		if !p.passes(key) || kept >= maxAttrs {
			r.Attributes++
			return true
		}
		kept++
		limit := maxValue
		if key == "exception.stacktrace" {
			limit = maxStack
		}
		r.add(p.value(v, limit))
		return false
	})
	return r
}

// value masks a string and what is inside a list or map; maps keep the keys that
// are on the list, bytes are removed.
func (p *privacy) value(v pcommon.Value, limit int) redactions {
	var r redactions
	switch v.Type() {
	case pcommon.ValueTypeStr:
		if s, seen := clean(v.Str(), limit); seen != (redactions{}) {
			v.SetStr(s)
			r = seen
		}
	case pcommon.ValueTypeMap:
		r = p.attributes(v.Map())
	case pcommon.ValueTypeSlice:
		n := 0
		v.Slice().RemoveIf(func(e pcommon.Value) bool {
			if n++; n > maxAttrs || e.Type() == pcommon.ValueTypeSlice {
				r.Attributes++
				return true
			}
			r.add(p.value(e, limit))
			return false
		})
	case pcommon.ValueTypeBytes:
		v.SetEmptyBytes()
		r.Values++
	}
	return r
}

// span masks everything of a span that is free text.
func (p *privacy) span(s ptrace.Span) redactions {
	r := p.attributes(s.Attributes())
	text := func(get string, set func(string)) {
		if out, seen := clean(get, maxValue); seen != (redactions{}) {
			set(out)
			r.add(seen)
		}
	}
	text(s.Name(), s.SetName)
	text(s.Status().Message(), s.Status().SetMessage)
	n := 0
	s.Events().RemoveIf(func(e ptrace.SpanEvent) bool {
		if n++; n > maxEvents {
			r.Attributes++
			return true
		}
		text(e.Name(), e.SetName)
		r.add(p.attributes(e.Attributes()))
		return false
	})
	n = 0
	s.Links().RemoveIf(func(l ptrace.SpanLink) bool {
		if n++; n > maxEvents {
			r.Attributes++
			return true
		}
		r.add(p.attributes(l.Attributes()))
		return false
	})
	return r
}

// line masks a log line.
func (p *privacy) line(lr plog.LogRecord) redactions {
	r := p.attributes(lr.Attributes())
	r.add(p.value(lr.Body(), maxStack))
	return r
}

// clean masks secrets in s and cuts it to limit bytes.
func clean(s string, limit int) (string, redactions) {
	var r redactions
	if masked := mask(s); masked != s {
		s = masked
		r.Values++
	}
	if len(s) > limit {
		end := limit
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
		r.Cut++
	}
	return s, r
}
