package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// An Alertmanager passes pages on to one Prometheus Alertmanager, by version 2 of its
// API. Of several that form a cluster each needs a route of its own, as each must be
// told. It never tells of what was over before it was known: Alertmanager notifies
// nobody of an alert that arrives resolved.
type Alertmanager struct {
	endpoint string
	valid    time.Duration
	client   *http.Client
}

// How a route to an Alertmanager is paced. An alert counts as over there unless it is
// told again, so that it outlives a restart of the centre but not the centre's end;
// and one that is over before Alertmanager's group_interval, 5 minutes by default,
// has passed might never be told to anyone.
const (
	alertRefresh = time.Minute
	alertValid   = 15 * time.Minute
	alertHold    = 6 * time.Minute
)

// NewAlertmanager makes the receiver for the Alertmanager at base, such as
// "http://127.0.0.1:9093". valid is how long an alert lasts there unless it is told
// again; 0 means 15 minutes. client may be nil.
func NewAlertmanager(base string, valid time.Duration, client *http.Client) (*Alertmanager, error) {
	if err := checkURL(base); err != nil {
		return nil, fmt.Errorf("alertmanager: %w", err)
	}
	if valid <= 0 {
		valid = alertValid
	}
	return &Alertmanager{strings.TrimSuffix(base, "/") + "/api/v2/alerts", valid, orDefault(client)}, nil
}

// AlertmanagerRoute is the route to an Alertmanager: told again every minute, told
// that a page is over no sooner than 6 minutes after the page, and never told of what
// is only known afterwards.
func AlertmanagerRoute(name string, r *Alertmanager, match ...Matcher) Route {
	return Route{Name: name, Receiver: r, Matchers: match, Refresh: min(alertRefresh, r.valid/4), Hold: alertHold, LiveOnly: true}
}

// alert is a postable alert of the API.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Send posts the alerts. One whose urgency has risen is another alert there: the old
// one is ended.
func (a *Alertmanager) Send(ctx context.Context, m Message) error {
	alerts := make([]alert, 0, len(m.Pages))
	for _, p := range m.Pages {
		one := a.alert(p, m.At)
		alerts = append(alerts, one)
		if p.Told != nil {
			if old := p.Told.Labels(); !maps.Equal(old, one.Labels) {
				alerts = append(alerts, alert{Labels: old, Annotations: one.Annotations, StartsAt: one.StartsAt, EndsAt: m.At.UTC()})
			}
		}
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		return fmt.Errorf("encode alerts: %w", err)
	}
	return post(ctx, a.client, a.endpoint, http.Header{}, body)
}

// alert ends when the incident was over, or lasts until it would have to be told
// again. A node's clock that runs ahead must not make an alert that is to come.
func (a *Alertmanager) alert(p Page, now time.Time) alert {
	out := alert{
		Labels: p.Labels(), Annotations: p.annotations(), GeneratorURL: p.URL,
		StartsAt: earliest(p.Since, now).UTC(), EndsAt: now.Add(a.valid).UTC(),
	}
	if p.Phase == Resolve {
		out.EndsAt = earliest(p.Until, now).UTC()
	}
	return out
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// annotations are the page's words, and its facts for templates.
func (p Page) annotations() map[string]string {
	out := map[string]string{"summary": p.Summary(), "description": p.Text()}
	for k, v := range map[string]string{"contact": p.Contact, "incident_url": p.URL, "carrier": p.Carrier} {
		if v != "" {
			out[k] = v
		}
	}
	return out
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("address is %w: give a URL such as https://host/path", ErrInvalid)
	}
	return nil
}

func orDefault(c *http.Client) *http.Client {
	if c == nil {
		return http.DefaultClient
	}
	return c
}
