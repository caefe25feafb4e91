package synthetics

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"golang.org/x/net/http/httpguts"

	"ghostlight/internal/strictyaml"
)

// A plan is a journey with its templates parsed and its expressions compiled. It
// never changes, so runs may share it.
type plan struct {
	steps []stepPlan
}

type stepPlan struct {
	request *requestPlan
	socket  *socketPlan
	checks  checks
}

type requestPlan struct {
	method  string
	url     template
	headers map[string]template
	json    any // tree of templates; nil if there is none
	body    template
}

type socketPlan struct {
	url      template
	headers  map[string]template
	exchange []exchangePlan
}

type exchangePlan struct {
	send   any // tree of templates
	expect expression
	checks checks
}

// checks are what is asked of an answer, and what is kept of it.
type checks struct {
	assert  []expression
	extract map[string]expression
}

// Prepare validates the journey unless that was done already; one that was
// decoded needs no more. A journey changed since then must be validated again.
func (j *Journey) Prepare() error {
	if j.plan != nil {
		return nil
	}
	return j.Validate()
}

// Validate reports everything that is wrong with the journey, as field errors,
// and compiles it.
func (j *Journey) Validate() error {
	p := &planner{known: map[string]bool{}}
	p.head(j)
	out := &plan{steps: make([]stepPlan, len(j.Steps))}
	for i := range j.Steps {
		out.steps[i] = p.step(fmt.Sprintf("steps[%d]", i), &j.Steps[i])
	}
	if err := errors.Join(p.errs...); err != nil {
		return err
	}
	j.plan = out
	return nil
}

// planner compiles a journey, collecting what is wrong, and knows which variables
// exist at the point it has reached.
type planner struct {
	errs  []error
	known map[string]bool
}

func (p *planner) refuse(path, format string, args ...any) {
	p.errs = append(p.errs, strictyaml.Fieldf(path, format, args...))
}

// successStatus is what a request step without assertions asks for.
const successStatus = "status >= 200 && status < 300"

const nameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_."

func (p *planner) name(path, name string) {
	if name == "" || len(name) > 63 || strings.Trim(name, nameCharacters) != "" {
		p.refuse(path, "is %q; allowed: 1 to 63 characters of a-z, 0-9, '-', '_', '.'", shorten(name, maxValueShown))
	}
}

func (p *planner) head(j *Journey) {
	p.name("name", j.Name)
	if j.Schedule != "" {
		if _, err := ParseSchedule(j.Schedule); err != nil {
			p.refuse("schedule", "%v", err)
		}
	}
	p.duration("jitter", j.Jitter)
	p.duration("timeout", j.Timeout)
	for _, name := range builtins {
		p.known[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(j.Vars)) {
		p.define("vars."+name, name)
	}
	for i, name := range j.Needs {
		path := fmt.Sprintf("needs[%d]", i)
		if _, ok := j.Vars[name]; ok {
			p.refuse(path, "is %q, which vars gives a value: remove one of them", name)
			continue
		}
		p.define(path, name)
	}
	if n := len(j.Steps); n == 0 || n > MaxSteps {
		p.refuse("steps", "has %d steps; allowed: 1 to %d", n, MaxSteps)
	}
	seen := map[string]bool{}
	for i, s := range j.Steps {
		path := fmt.Sprintf("steps[%d].name", i)
		p.name(path, s.Name)
		if s.Name != "" && seen[s.Name] {
			p.refuse(path, "is %q, as an earlier step is; give each step a name of its own", s.Name)
		}
		seen[s.Name] = true
	}
}

func (p *planner) duration(path string, d strictyaml.Duration) {
	if d < 0 {
		p.refuse(path, "is %s; allowed: 0 or more", d)
	}
}

// define makes a variable known from here on.
func (p *planner) define(path, name string) {
	switch {
	case !isVarName(name):
		p.refuse(path, "is %q, no variable name: a letter or _, then letters, digits or _", shorten(name, maxValueShown))
	case slices.Contains(builtins, name):
		p.refuse(path, "is %q, which every run has already; choose another name", name)
	default:
		p.known[name] = true
	}
}

// uses reports variables that do not exist at this point.
func (p *planner) uses(path string, names []string) {
	for _, name := range names {
		if !p.known[name] {
			p.refuse(path, "uses the variable %q, which is not set here; known: %s", name, strings.Join(slices.Sorted(maps.Keys(p.known)), ", "))
		}
	}
}

// reads is uses for the variables of an expression.
func (p *planner) reads(path string, e expression) {
	names := e.vars()
	if slices.Contains(names, varUUID) {
		p.refuse(path, "reads vars.%s, which is another one each time; use ${%s} in a text, or vars.%s", varUUID, varUUID, varRunID)
	}
	p.uses(path, names)
}

func (p *planner) template(path, s string) template {
	t, err := parseTemplate(s)
	if err != nil {
		p.refuse(path, "%v", err)
		return template{text: []string{""}}
	}
	p.uses(path, t.names)
	return t
}

func (p *planner) tree(path string, v any) any {
	broken := false
	tree := parseTree(v, path, func(path string, err error) {
		broken = true
		p.refuse(path, "%v", err)
	})
	if !broken {
		p.uses(path, treeNames(tree))
	}
	return tree
}

func (p *planner) headers(path string, h map[string]string) map[string]template {
	out := make(map[string]template, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		at := path + "." + name
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			p.refuse(at, "is no HTTP header name")
		case http.CanonicalHeaderKey(name) == ClaimHeader:
			p.refuse(at, "is set by the runner; remove it")
		}
		out[name] = p.template(at, h[name])
	}
	return out
}

func (p *planner) step(path string, s *Step) stepPlan {
	p.duration(path+".timeout", s.Timeout)
	var out stepPlan
	switch {
	case (s.Request == nil) == (s.WebSocket == nil):
		p.refuse(path, "must have either request or websocket")
	case s.Request != nil:
		out.request = p.request(path+".request", s.Request)
		assert := s.Assert
		if len(assert) == 0 {
			assert = []string{successStatus}
		}
		out.checks = p.checks(path, requestLanguage, assert, s.Extract)
	default:
		if len(s.Assert) > 0 || len(s.Extract) > 0 {
			p.refuse(path, "has assert or extract beside websocket; put them beside the expect they are about")
		}
		out.socket = p.socket(path+".websocket", s.WebSocket)
	}
	return out
}

func (p *planner) request(path string, r *Request) *requestPlan {
	method := r.Method
	if method == "" {
		method = http.MethodGet
		if r.JSON != nil || r.Body != "" {
			method = http.MethodPost
		}
	}
	if !httpguts.ValidHeaderFieldName(method) { // a method is a token, as a header name is
		p.refuse(path+".method", "is %q, no HTTP method", shorten(method, maxValueShown))
	}
	if r.URL == "" {
		p.refuse(path+".url", "is empty: name what to request")
	}
	if r.JSON != nil && r.Body != "" {
		p.refuse(path+".body", "stands beside json; a request has one body")
	}
	if r.Redirects < 0 || r.Redirects > 10 {
		p.refuse(path+".redirects", "is %d; allowed: 0 to 10", r.Redirects)
	}
	if r.BodyLimit > 8<<20 {
		p.refuse(path+".body_limit", "is %s; allowed: up to 8MiB", r.BodyLimit)
	}
	out := &requestPlan{
		method:  strings.ToUpper(method),
		url:     p.template(path+".url", r.URL),
		headers: p.headers(path+".headers", r.Headers),
		body:    p.template(path+".body", r.Body),
	}
	if r.JSON != nil {
		out.json = p.tree(path+".json", r.JSON)
	}
	return out
}

func (p *planner) socket(path string, w *WebSocket) *socketPlan {
	if w.URL == "" {
		p.refuse(path+".url", "is empty: name where to connect")
	}
	if n := len(w.Exchange); n == 0 || n > MaxExchanges {
		p.refuse(path+".exchange", "has %d messages; allowed: 1 to %d", n, MaxExchanges)
	}
	out := &socketPlan{url: p.template(path+".url", w.URL), headers: p.headers(path+".headers", w.Headers)}
	for i := range w.Exchange {
		out.exchange = append(out.exchange, p.exchange(fmt.Sprintf("%s.exchange[%d]", path, i), &w.Exchange[i]))
	}
	return out
}

func (p *planner) exchange(path string, x *Exchange) exchangePlan {
	p.duration(path+".timeout", x.Timeout)
	var out exchangePlan
	switch {
	case (x.Send == nil) == (x.Expect == ""):
		p.refuse(path, "must have either send or expect")
	case x.Send != nil:
		if len(x.Assert) > 0 || len(x.Extract) > 0 || x.Timeout != 0 {
			p.refuse(path, "has timeout, assert or extract beside send; they go with expect")
		}
		out.send = p.tree(path+".send", x.Send)
	default:
		out.expect = p.condition(path+".expect", messageLanguage, x.Expect)
		out.checks = p.checks(path, messageLanguage, x.Assert, x.Extract)
	}
	return out
}

func (p *planner) condition(path string, language func() (*cel.Env, error), source string) expression {
	e, err := compileCondition(language, source)
	if err != nil {
		p.refuse(path, "%v", err)
		return expression{}
	}
	p.reads(path, e)
	return e
}

func (p *planner) checks(path string, language func() (*cel.Env, error), assert []string, extract map[string]string) checks {
	if len(assert) > MaxExpressions || len(extract) > MaxExpressions {
		p.refuse(path, "has more than %d expressions in assert or extract", MaxExpressions)
		return checks{}
	}
	out := checks{extract: make(map[string]expression, len(extract))}
	for i, source := range assert {
		out.assert = append(out.assert, p.condition(fmt.Sprintf("%s.assert[%d]", path, i), language, source))
	}
	names := slices.Sorted(maps.Keys(extract))
	for _, name := range names {
		at := path + ".extract." + name
		e, err := compile(language, extract[name])
		if err != nil {
			p.refuse(at, "%v", err)
			continue
		}
		p.reads(at, e)
		out.extract[name] = e
	}
	for _, name := range names {
		p.define(path+".extract."+name, name)
	}
	return out
}
