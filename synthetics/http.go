package synthetics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
)

// request does a request step and returns the answer's status, 0 if none came.
func (r *run) request(ctx context.Context, s *Request, p *stepPlan) (int, error) {
	body, err := r.body(p.request)
	if err != nil {
		return 0, err
	}
	target := p.request.url.expand(r.lookup)
	if err := checkURL(target, "http", "https"); err != nil {
		return 0, err
	}
	ctx = context.WithValue(ctx, redirectsKey{}, s.Redirects)
	req, err := http.NewRequestWithContext(ctx, p.request.method, target, body)
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	if p.request.json != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := r.prepare(ctx, req.Header, p.request.headers); err != nil {
		return 0, err
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := readBounded(resp.Body, int64(s.BodyLimit))
	if err != nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, r.examineAnswer(resp, text, p.checks)
}

func (r *run) body(p *requestPlan) (io.Reader, error) {
	if p.json == nil {
		if text := p.body.expand(r.lookup); text != "" {
			return strings.NewReader(text), nil
		}
		return http.NoBody, nil
	}
	data, err := json.Marshal(expandTree(p.json, r.lookup))
	if err != nil {
		return nil, fmt.Errorf("write the request's JSON: %w", err)
	}
	return bytes.NewReader(data), nil
}

// prepare adds the journey's headers, the trace and the claim.
func (r *run) prepare(ctx context.Context, h http.Header, headers map[string]template) error {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		h.Set(name, headers[name].expand(r.lookup))
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	if r.claim == nil {
		return nil
	}
	claim, err := r.claim(r.journey.Name)
	if err != nil {
		return fmt.Errorf("sign the synthetic claim: %w", err)
	}
	h.Set(ClaimHeader, claim)
	return nil
}

func checkURL(target string, schemes ...string) error {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return findf("%q is no absolute URL with the scheme %s", shorten(target, maxAnswerShown), strings.Join(schemes, " or "))
	}
	return nil
}

// readBounded reads a whole answer of at most limit bytes, 0 for the default.
func readBounded(body io.Reader, limit int64) ([]byte, error) {
	if limit == 0 {
		limit = defaultBodyLimit
	}
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(text)) > limit {
		return nil, findf("the answer is longer than %d bytes, the step's body_limit", limit)
	}
	return text, nil
}

// examineAnswer checks an answer and keeps what the step extracts.
func (r *run) examineAnswer(resp *http.Response, text []byte, c checks) error {
	headers := make(map[string]string, len(resp.Header))
	for name, vs := range resp.Header {
		headers[strings.ToLower(name)] = strings.Join(vs, ", ")
	}
	body, isJSON := parseJSON(text)
	scope := map[string]any{
		"status": resp.StatusCode, "headers": headers, "body": body,
		"text": strings.ToValidUTF8(string(text), "\uFFFD"), "vars": map[string]any(r.vars),
	}
	err := r.examine(c, scope)
	switch {
	case err == nil:
		return nil
	case resp.StatusCode >= 400 && len(text) > 0:
		return findf("%v; the answer was %d: %s", err, resp.StatusCode, shorten(string(text), maxAnswerShown))
	case !isJSON:
		return findf("%v; the answer was %d and not JSON", err, resp.StatusCode)
	}
	return err
}

// examine asks every assertion of scope, then extracts. The error is a finding.
func (r *run) examine(c checks, scope map[string]any) error {
	for _, e := range c.assert {
		ok, err := e.holds(scope)
		if err == nil && ok {
			continue
		}
		told := e.explain(scope)
		if told != "" {
			told = " (" + told + ")"
		}
		if err != nil {
			return findf("assertion %q has no value: %v%s", e.source, err, told)
		}
		return findf("assertion %q is false%s", e.source, told)
	}
	found := values{}
	for _, name := range slices.Sorted(maps.Keys(c.extract)) {
		v, err := c.extract[name].value(scope)
		if err != nil {
			return findf("variable %s cannot be extracted by %q: %v", name, c.extract[name].source, err)
		}
		found[name] = v
	}
	maps.Copy(r.vars, found)
	return nil
}

type redirectsKey struct{}

// checkRedirect follows as many redirects as the step allows, none by default,
// and never takes the claim to another host.
func checkRedirect(req *http.Request, via []*http.Request) error {
	allowed, _ := req.Context().Value(redirectsKey{}).(int)
	if len(via) > allowed {
		return http.ErrUseLastResponse
	}
	if req.URL.Host != via[0].URL.Host {
		req.Header.Del(ClaimHeader)
	}
	return nil
}
