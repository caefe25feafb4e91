package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
)

// fake answers with the name of the method and what it was asked.
type fake struct{ flushed int }

func (f *fake) say(w http.ResponseWriter, r *http.Request, what string) {
	fmt.Fprintf(w, "%s %s", what, r.FormValue("query")+r.FormValue("match[]"))
}
func (f *fake) ServeQuery(w http.ResponseWriter, r *http.Request)      { f.say(w, r, "query") }
func (f *fake) ServeQueryRange(w http.ResponseWriter, r *http.Request) { f.say(w, r, "range") }
func (f *fake) ServeSeries(w http.ResponseWriter, r *http.Request)     { f.say(w, r, "series") }
func (f *fake) ServeLabels(w http.ResponseWriter, r *http.Request)     { f.say(w, r, "labels") }
func (f *fake) ServeExport(w http.ResponseWriter, r *http.Request)     { f.say(w, r, "export") }
func (f *fake) Flush() error                                           { f.flushed++; return nil }
func (f *fake) ServeLabelValues(w http.ResponseWriter, r *http.Request, name string) {
	f.say(w, r, "values of "+name)
}

type rig struct {
	db      *fake
	meta    *Metadata
	handler http.Handler
	settled int
	unready error
}

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	r := &rig{db: &fake{}}
	if r.meta, err = NewMetadata(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	r.handler, err = New(r.db, r.meta, func(context.Context) error { r.settled++; return r.unready })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) do(method, path string, form url.Values) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(method, path+"?"+form.Encode(), nil)
	if method == http.MethodPost {
		req = httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.handler.ServeHTTP(rec, req)
	return rec
}

func TestRoutes(t *testing.T) {
	r := newRig(t, t.TempDir())
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for path, want := range map[string]string{
			"query":            "query up",
			"query_range":      "range up",
			"series":           "series up",
			"labels":           "labels up",
			"label/job/values": "values of job up",
			"export":           "export up",
		} {
			form := url.Values{"query": {"up"}}
			if path != "query" && path != "query_range" {
				form = url.Values{"match[]": {"up"}}
			}
			if rec := r.do(method, "/api/v1/"+path, form); rec.Code != http.StatusOK || rec.Body.String() != want {
				t.Errorf("%s %s: %d %q, want %q", method, path, rec.Code, rec.Body, want)
			}
		}
	}
	if rec := r.do(http.MethodGet, "/api/v1/rules", nil); rec.Code != http.StatusNotFound || !json.Valid(rec.Body.Bytes()) {
		t.Errorf("a path that is not there: %d %s", rec.Code, rec.Body)
	}
}

func TestWhoSettles(t *testing.T) {
	r := newRig(t, t.TempDir())
	for _, tt := range []struct {
		path string
		form url.Values
		want int
	}{
		{"query", url.Values{"query": {"up"}}, 0},
		{"query", url.Values{"query": {"up"}, "nocache": {"1"}}, 1},
		{"query_range", url.Values{"query": {"up"}, "nocache": {"true"}}, 1},
		{"export", nil, 1},
	} {
		r.settled, r.db.flushed = 0, 0
		r.do(http.MethodPost, "/api/v1/"+tt.path, tt.form)
		if r.settled != tt.want || r.db.flushed != tt.want {
			t.Errorf("%s %v: settled %d and flushed %d times, want %d", tt.path, tt.form, r.settled, r.db.flushed, tt.want)
		}
	}
	r.unready = errors.New("behind")
	if rec := r.do(http.MethodGet, "/api/v1/export", nil); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("an export that cannot settle: %d %s", rec.Code, rec.Body)
	}
}

func TestBuildInfo(t *testing.T) {
	rec := newRig(t, t.TempDir()).do(http.MethodGet, "/api/v1/status/buildinfo", nil)
	var answer struct {
		Status string
		Data   map[string]string
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || answer.Status != "success" || answer.Data["version"] != APILevel {
		t.Errorf("%s (%v)", rec.Body, err)
	}
}

func series(name string, meta delta.Meta) delta.Series {
	return delta.Series{Labels: []delta.Label{{Name: "__name__", Value: name}}, Meta: meta}
}

func TestMetadata(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	histogram := delta.Meta{Type: delta.Histogram, Unit: "seconds", Help: "How long."}
	counter := delta.Meta{Type: delta.Counter, Help: "How many."}
	batches := [][]delta.Series{
		{series("d_seconds_bucket", histogram), series("d_seconds_sum", histogram), series("d_seconds_count", histogram)},
		{series("n_total", delta.Meta{Type: delta.Counter, Help: "old"}), series("bare", delta.Meta{})},
		{series("n_total", counter), series("odd_bucket", counter)},
		// Most blocks tell the type alone, which takes nothing back.
		{series("n_total", delta.Meta{Type: delta.Counter}), series("d_seconds_sum", delta.Meta{Type: delta.Histogram})},
		{series("fresh_sum", delta.Meta{Type: delta.Summary}), series("fresh_count", delta.Meta{Type: delta.Summary, Help: "New."}), series("fresh_sum", delta.Meta{Type: delta.Summary})},
	}
	for _, b := range append(batches, batches[2]) {
		if err := r.meta.Learn(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string][]entry{
		"d_seconds":  {{Type: "histogram", Unit: "seconds", Help: "How long."}},
		"n_total":    {{Type: "counter", Help: "How many."}},
		"odd_bucket": {{Type: "counter", Help: "How many."}},
		"fresh":      {{Type: "summary", Help: "New."}},
	}
	check := func(form url.Values, want map[string][]entry) {
		t.Helper()
		rec := r.do(http.MethodGet, "/api/v1/metadata", form)
		var answer struct {
			Status string
			Data   map[string][]entry
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || answer.Status != "success" {
			t.Fatalf("%s (%v)", rec.Body, err)
		}
		if diff := cmp.Diff(want, answer.Data); diff != "" {
			t.Errorf("metadata %v (-want +got):\n%s", form, diff)
		}
	}
	check(nil, all)
	r = newRig(t, dir) // kept over a restart
	check(nil, all)
	check(url.Values{"metric": {"n_total"}}, map[string][]entry{"n_total": all["n_total"]})
	check(url.Values{"metric": {"nothing"}}, map[string][]entry{})
	check(url.Values{"limit": {"1"}}, map[string][]entry{"d_seconds": all["d_seconds"]})
	if rec := r.do(http.MethodGet, "/api/v1/metadata", url.Values{"limit": {"x"}}); rec.Code != http.StatusBadRequest {
		t.Errorf("a wrong limit: %d %s", rec.Code, rec.Body)
	}
}
