package tail

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"pgregory.net/rapid"
)

func TestOnlyListedAttributesLeave(t *testing.T) {
	p, err := newPrivacy([]string{"shop.*"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{
		"http.route": true, "http.response.status_code": true, "service.name": true, "error.type": true, "exception.stacktrace": true,
		"rpc.method": true, "db.system": true, "url.path": true, "journey.step": true, "shop.till": true,
		"http.request.header.authorization": false, "http.request.body": false, "http.request.body.text": false, "url.full": false, "url.query": false,
		"db.statement": false, "user.id": false, "enduser.id": false, "guest": false, "": false, "shop.token": false, "shop.card_number": false, "shop/x": false,
	} {
		if got := p.passes(key); got != want {
			t.Errorf("%q passes: %v, want %v", key, got, want)
		}
	}
}

func TestSpanIsCleanedEverywhere(t *testing.T) {
	p, err := newPrivacy(nil)
	if err != nil {
		t.Fatal(err)
	}
	span := ptrace.NewSpan()
	span.SetName("GET /guests/jo@example.org")
	span.Status().SetMessage("no such guest: jo@example.org")
	span.Attributes().PutStr("guest", "jo")
	span.Attributes().PutStr("http.route", "/guests/{id}")
	span.Attributes().PutEmptyBytes("http.raw").FromRaw([]byte("jo"))
	ev := span.Events().AppendEmpty()
	ev.SetName("mail jo@example.org")
	ev.Attributes().PutStr("exception.message", "password: hunter2 is wrong")
	ev.Attributes().PutStr("exception.stacktrace", strings.Repeat("ä", maxStack))
	ev.Attributes().PutEmptyMap("http.more").PutStr("guest", "jo")
	span.Links().AppendEmpty().Attributes().PutStr("guest", "jo")
	got := p.span(span)
	if diff := cmp.Diff(redactions{Attributes: 3, Values: 5, Cut: 1}, got); diff != "" {
		t.Error(diff)
	}
	td := ptrace.NewTraces()
	span.CopyTo(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty())
	body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"jo@", "hunter2", "guest\""} {
		if strings.Contains(string(body), secret) {
			t.Errorf("%q left the node", secret)
		}
	}
}

// Cleaning twice changes nothing more, never lengthens without bound, and leaves
// plain words alone.
func TestCleanIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		once, _ := clean(s, 100)
		if len(once) > 100+len("…") {
			t.Fatalf("%d bytes are left", len(once))
		}
		words := rapid.StringMatching(`[a-z ]{0,80}`).Draw(t, "words")
		if got, seen := clean(words, 100); got != words || seen != (redactions{}) {
			if !strings.Contains(words, "basic ") && !strings.Contains(words, "bearer ") {
				t.Fatalf("%q became %q", words, got)
			}
		}
	})
}

func TestTemplate(t *testing.T) {
	for in, want := range map[string]string{
		"order 12 took 3.5ms":                      "order # took #.#ms",
		"id 3b2e9d1c-1111-4222-8333-9a8b7c6d5e4f.": "id #.",
		"at 0xdeadbeef and 7f3a9c21":               "at # and #",
		"deadbeefdeadbeef":                         "#",
		"a bad face":                               "a bad face",
		"v1/edge12/x":                              "v#/edge#/x",
		"":                                         "",
		"[2026-01-02T03:04:05Z] GET /orders/9 → 500": "[#-#-#T#:#:#Z] GET /orders/# → #",
	} {
		if got := template(in); got != want {
			t.Errorf("%q is of template %q, want %q", in, got, want)
		}
	}
}

// What comes from elsewhere may be anything: no input makes the tail panic.
func FuzzTraces(f *testing.F) {
	seed, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(batch(spec{trace: 1, failed: true}, spec{trace: 2, name: "POST /v1/orders"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(raw)
		if err != nil {
			t.Skip()
		}
		n := int64(td.SpanCount())
		tl := newTail(t, options(newDisk()))
		tl.Traces(td)
		if err := tl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := tl.Stats(); s.Spans.Received != n || s.Spans.Stored+sum(s.Spans.Dropped) != n {
			t.Fatalf("%d spans sent: %+v", n, s.Spans)
		}
	})
}
