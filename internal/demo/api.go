package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// api is one HTTP JSON API.
type api struct {
	base   string
	token  string // bearer; empty sends none
	client *http.Client
}

func newAPI(port int, token string) api {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	return api{base: url(port), token: token, client: &http.Client{Transport: t, Timeout: 30 * time.Second}}
}

// call sends body, unless it is nil, and decodes a 2xx answer into out.
func (a api) call(ctx context.Context, method, path string, body, out any) error {
	raw, err := a.raw(ctx, method, path, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s%s: the answer is not what the API promises: %w", method, a.base, path, err)
	}
	return nil
}

func (a api) raw(ctx context.Context, method, path string, body any) ([]byte, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s%s: %w", method, a.base, path, err)
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, reader)
	if err != nil {
		return nil, fmt.Errorf("%s %s%s: %w", method, a.base, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s%s: %w", method, a.base, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s%s: %s: %s", method, a.base, path, resp.Status, strings.TrimSpace(string(raw[:min(len(raw), 300)])))
	}
	return raw, nil
}

// fleetAPI is the fleet as any client sees it.
type fleetAPI struct{ api }

// fleetNode is what the demo reads of one node.
type fleetNode struct {
	Venue       string   `json:"venue"`
	Node        string   `json:"node"`
	Live        bool     `json:"live"`
	DarkSinceMS int64    `json:"dark_since_ms"`
	DarkSeconds float64  `json:"dark_seconds_total"`
	Heals       int64    `json:"heals"`
	Score       *float64 `json:"score"`
	Journeys    int      `json:"journeys"`
	Passing     int      `json:"journeys_passing"`

	Produced map[string]int64 `json:"produced"` // samples by lane, as the node last said
	Samples  map[string]int64 `json:"samples"`  // held at the centre
	Lost     map[string]int64 `json:"lost"`
}

func (f fleetAPI) nodes(ctx context.Context) ([]fleetNode, error) {
	var out []fleetNode
	return out, f.call(ctx, http.MethodGet, "/api/fleet/v1/nodes", nil, &out)
}

// fleetVenue is what the demo reads of one venue.
type fleetVenue struct {
	Heals []heal `json:"heal_audit"` // newest first
}

// heal is one entry of a node's audit.
type heal struct {
	Node   string `json:"node"`
	Seq    int64  `json:"seq"`
	AtMS   int64  `json:"at_ms"`
	Action string `json:"action"`
	Reason string `json:"reason"`
	Result string `json:"result"`
}

func (f fleetAPI) venue(ctx context.Context, name string) (fleetVenue, error) {
	var out fleetVenue
	return out, f.call(ctx, http.MethodGet, "/api/fleet/v1/venues/"+neturl.PathEscape(name), nil, &out)
}

// startEvent starts a show now and returns its id.
func (f fleetAPI) startEvent(ctx context.Context, name string, venues []string) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	return out.ID, f.call(ctx, http.MethodPost, "/api/fleet/v1/events", m{"name": name, "venues": venues}, &out)
}

func (f fleetAPI) endEvent(ctx context.Context, id string) error {
	_, err := f.raw(ctx, http.MethodPost, "/api/fleet/v1/events/"+neturl.PathEscape(id)+"/end", nil)
	return err
}

// reportSales is the number of sales in an event's report.
func (f fleetAPI) reportSales(ctx context.Context, id string) (int64, error) {
	var out struct {
		Sales int64 `json:"sales"`
	}
	return out.Sales, f.call(ctx, http.MethodGet, "/api/fleet/v1/events/"+neturl.PathEscape(id)+"/report", nil, &out)
}

// accepted counts the samples in distinct accepted blocks, by node.
func (f fleetAPI) accepted(ctx context.Context) (map[string]int64, error) {
	var rows []struct {
		Node    string `json:"node"`
		Samples int64  `json:"samples"`
	}
	if err := f.call(ctx, http.MethodGet, "/api/fleet/v1/accepted", nil, &rows); err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, r := range rows {
		out[r.Node] += r.Samples
	}
	return out, nil
}

// revenue is the last value of each revenue series of one node, through the
// Prometheus API.
func (f fleetAPI) revenue(ctx context.Context, v venue) (map[string]float64, error) {
	selector := fmt.Sprintf(`{__name__=~"%s",venue="%s",node="%s"}`, strings.Join(revenueMetrics(), "|"), v.name, v.node)
	raw, err := f.raw(ctx, http.MethodGet, "/api/v1/export?"+neturl.Values{"match[]": {selector}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	return exported(raw)
}

// exported reads the last value of each series from the export format: one JSON
// object a line, in which a series may have several. Series that differ in their
// identity alone are summed.
func exported(raw []byte) (map[string]float64, error) {
	type point struct {
		at    int64
		value float64
		text  string
	}
	last := map[string]point{}
	for line := range bytes.Lines(raw) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var row struct {
			Metric     map[string]string `json:"metric"`
			Values     []*float64        `json:"values"` // null: a stale marker
			Timestamps []int64           `json:"timestamps"`
		}
		if err := json.Unmarshal(line, &row); err != nil || len(row.Values) != len(row.Timestamps) {
			return nil, fmt.Errorf("the export of the revenue series cannot be read: %.200s", line)
		}
		key := fmt.Sprint(row.Metric)
		for i, v := range row.Values {
			if old, ok := last[key]; v != nil && (!ok || row.Timestamps[i] > old.at) {
				last[key] = point{row.Timestamps[i], *v, seriesText(row.Metric)}
			}
		}
	}
	out := map[string]float64{}
	for _, p := range last {
		out[p.text] += p.value
	}
	return out, nil
}
