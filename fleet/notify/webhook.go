package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// A Webhook posts what Alertmanager's own webhook posts, version 4, so that whatever
// takes those takes these. A page that was over before it was known comes as resolved,
// with words that say so and the annotation late.
type Webhook struct {
	name, url, external string
	client              *http.Client
}

// NewWebhook makes a receiver of the given name that posts to url. external is the
// centre's own address for its readers; it may be empty. client may be nil.
func NewWebhook(name, url, external string, client *http.Client) (*Webhook, error) {
	if err := checkURL(url); err != nil {
		return nil, fmt.Errorf("webhook %s: %w", name, err)
	}
	return &Webhook{name, url, external, orDefault(client)}, nil
}

// webhookMessage is the payload of Alertmanager's webhook, version 4.
type webhookMessage struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   uint64            `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []webhookAlert    `json:"alerts"`
}

type webhookAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // year 1 while it fires, as Alertmanager writes it
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// Send posts one group.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(w.message(m))
	if err != nil {
		return fmt.Errorf("encode webhook: %w", err)
	}
	return post(ctx, w.client, w.url, http.Header{}, body)
}

func (w *Webhook) message(m Message) webhookMessage {
	out := webhookMessage{
		Version: "4", GroupKey: fmt.Sprintf("{}:{group=%q}", m.Group), Status: string(Resolved), Receiver: w.name,
		GroupLabels: map[string]string{"group": m.Group}, ExternalURL: w.external,
	}
	for _, p := range m.Pages {
		one := webhookAlert{
			Status: string(Firing), Labels: p.Labels(), Annotations: p.annotations(), StartsAt: p.Since.UTC(), GeneratorURL: p.URL,
			Fingerprint: fingerprint(p.Key),
		}
		if p.Phase == Fire {
			out.Status = string(Firing)
		} else {
			one.Status, one.EndsAt = string(Resolved), p.Until.UTC()
		}
		if p.Phase == Late {
			one.Annotations["late"] = "true"
		}
		out.Alerts = append(out.Alerts, one)
	}
	out.CommonLabels = common(out.Alerts, func(a webhookAlert) map[string]string { return a.Labels })
	out.CommonAnnotations = common(out.Alerts, func(a webhookAlert) map[string]string { return a.Annotations })
	return out
}

// fingerprint is Alertmanager's hash, of the key alone: it is the same before and
// after the urgency rises.
func fingerprint(key string) string {
	return model.LabelSet{"incident": model.LabelValue(key)}.Fingerprint().String()
}

// common is what all of a list have alike.
func common(list []webhookAlert, of func(webhookAlert) map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range of(list[0]) {
		if !slices.ContainsFunc(list, func(a webhookAlert) bool { return of(a)[k] != v }) {
			out[k] = v
		}
	}
	return out
}
