package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ghostlight/buffer"
	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
	"ghostlight/fleet/status/statustest"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// describe is openapi.json as the routes and their types have it.
func describe(t *testing.T) []byte {
	t.Helper()
	s := newSchemas("../../..")
	s.named["Error"] = object{"type": "object", "required": []string{"error"}, "additionalProperties": false, "properties": object{"error": object{"type": "string", "description": "What was wrong, and what the caller can do."}}}
	paths := map[string]object{}
	for _, r := range new(API).routes() {
		path := Prefix + r.path
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path][strings.ToLower(r.method)] = operation(s, r)
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Ghostlight fleet", "version": "1",
			"description": "The views that the fleet's pages show, and the calls that change something. Times are Unix milliseconds, amounts minor units of their currency; what is not known is null or said in words, never 0.",
		},
		"paths": paths,
		"components": object{
			"schemas":         s.named,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "api_token of the centre's configuration."}},
		},
	}
	body, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(body, '\n')
}

var inPath = regexp.MustCompile(`\{([a-z]+)\}`)

func operation(s *schemas, r route) object {
	content := func(kind string, schema any) object { return object{kind: object{"schema": schema}} }
	params := []any{}
	for _, m := range inPath.FindAllStringSubmatch(r.path, -1) {
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range r.params {
		params = append(params, object{"name": p.name, "in": "query", "description": p.says, "schema": object{"type": "string"}})
	}
	failure := object{"description": "It could not be done.", "content": content("application/json", object{"$ref": "#/components/schemas/Error"})}
	good := object{"description": "Done."}
	if r.answers != nil {
		good["content"] = content("application/json", answer(s, r.answers))
	}
	code := r.code
	if code == 0 {
		code = http.StatusOK
	}
	out := object{"summary": r.says, "responses": object{fmt.Sprint(code): good, "default": failure}}
	if len(params) > 0 {
		out["parameters"] = params
	}
	if r.token {
		out["security"] = []any{object{"token": []string{}}}
	}
	if r.takes != nil {
		kind := "application/json"
		if r.takesType != "" {
			kind = r.takesType
		}
		out["requestBody"] = object{"required": true, "content": content(kind, request(s, r.takes))}
	}
	return out
}

func answer(s *schemas, v any) any {
	several, ok := v.(oneOf)
	if !ok {
		return s.of(reflect.TypeOf(v))
	}
	all := []any{}
	for _, x := range several {
		all = append(all, s.of(reflect.TypeOf(x)))
	}
	return object{"oneOf": all}
}

// request is the schema of a body: whoever sends may leave out what is usual.
func request(s *schemas, v any) any {
	t := reflect.TypeOf(v)
	if t.Kind() != reflect.Struct {
		return s.of(t)
	}
	schema := s.structure(t)
	delete(schema, "required")
	return schema
}

// The description says what the routes say. It is written by: go test -run
// TestDescription -update
func TestDescription(t *testing.T) {
	want := describe(t)
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, description) {
		t.Error("openapi.json is not what the routes are; write it anew with -update")
	}
}

// books are what the API reads in its test beside the views.
type books struct{ Calendar }

func (books) Accepted(context.Context) ([]Accepted, error) {
	return []Accepted{{Region: "london", Venue: "soho", Node: "soho-1", Origin: OriginAgent, Lane: buffer.Revenue, Blocks: 3, Samples: 90}}, nil
}

func testAPI(t *testing.T, f *statustest.Fleet) *API {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	o := f.Options()
	views, err := status.New(o)
	must(err)
	promises, err := objectives.New(f.Objectives())
	must(err)
	troubles, err := incidents.New(f.Incidents(views))
	must(err)
	reports, err := report.New(report.Options{
		Nodes: o.Nodes, History: o.History, Sales: o.Sales, Ledger: o.Ledger, Calendar: o.Calendar, Incidents: f.Incidents(views).Book, Auditor: f, Now: f.Now,
	})
	must(err)
	a, err := New(Options{Views: views, Objectives: promises, Incidents: troubles, Reports: reports, Calendar: books{}, Journal: books{}})
	must(err)
	return a
}

func ask(a *API, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest(method, Prefix+path, nil))
	return w
}

// Every call that the description has is answered, and by nobody but who may; every
// call that is answered is described.
func TestRoutesAreTheDescribedOnes(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Security []any
		}
	}
	if err := json.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	a := testAPI(t, statustest.Night())
	described := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described++
			w := ask(a, strings.ToUpper(method), inPath.ReplaceAllString(strings.TrimPrefix(path, Prefix), "none"))
			switch {
			case strings.Contains(w.Body.String(), "there is no such call") || w.Code == http.StatusMethodNotAllowed:
				t.Errorf("%s %s is described and not there", method, path)
			case (len(op.Security) > 0) != (w.Code == http.StatusUnauthorized):
				t.Errorf("%s %s without a token: status %d", method, path, w.Code)
			case method != "get" && len(op.Security) == 0:
				t.Errorf("%s %s changes something and asks for no token", method, path)
			}
		}
	}
	if n := len(a.routes()); n != described {
		t.Errorf("%d calls, %d are described", n, described)
	}
}

// The answer to each reading call is as described, of a fleet in trouble and of one of
// which nothing is known.
func TestAnswersAreAsDescribed(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	night := testAPI(t, statustest.Night())
	empty := testAPI(t, &statustest.Fleet{Clock: statustest.Night().Clock})
	for _, r := range night.routes() {
		if r.method != http.MethodGet {
			continue
		}
		pointer := "openapi.json#/paths/" + strings.ReplaceAll(Prefix+r.path, "/", "~1") + "/get/responses/200/content/application~1json/schema"
		schema, err := c.Compile(pointer)
		if err != nil {
			t.Errorf("%s: %v", r.path, err)
			continue
		}
		for _, path := range examples(t, night, r.path) {
			w := ask(night, r.method, path)
			check(t, schema, path, w)
		}
		if !strings.Contains(r.path, "{") {
			check(t, schema, r.path+" of an empty fleet", ask(empty, r.method, r.path))
		}
	}
}

func check(t *testing.T, schema *jsonschema.Schema, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		return
	}
	got, err := jsonschema.UnmarshalJSON(w.Body)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if err := schema.Validate(got); err != nil {
		t.Errorf("%s is not as described: %v", path, err)
	}
}

// examples are calls of a route that the night can answer.
func examples(t *testing.T, a *API, path string) []string {
	t.Helper()
	switch {
	case strings.HasPrefix(path, "incidents/"):
		var l incidents.List
		if err := json.Unmarshal(ask(a, "GET", "incidents").Body.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range slices.Concat(l.Open, l.Over) {
			out = append(out, "incidents/"+i.ID)
		}
		return out
	case strings.HasPrefix(path, "events/"):
		return []string{strings.Replace(path, "{id}", "e2f7kq5d", 1), strings.Replace(path, "{id}", "a81mzt0c", 1)}
	case strings.HasPrefix(path, "venues/"):
		return []string{"venues/brixton", "venues/camden", "venues/peckham", "venues/leeds"}
	case strings.HasPrefix(path, "objectives"):
		path = strings.Replace(path, "{name}", "checkout-success", 1)
		return []string{path, path + "?venue=soho&known=2026-11-22T13:36:00Z", path + "?region=london&event=e2f7kq5d"}
	}
	return []string{path}
}
