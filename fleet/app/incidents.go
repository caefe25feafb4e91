package app

import (
	"context"
	"fmt"
	"net/http"

	"ghostlight/buffer"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/config"
	"ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/witness"
)

// openIncidents opens the book of incidents, whoever is told of them, and the counts
// that rest on both.
func (a *App) openIncidents(ctx context.Context, r *rooms) (err error) {
	carriers := map[buffer.Source]string{}
	for _, n := range a.cfg.Nodes {
		carriers[n.Source()] = n.Carrier
	}
	f := &facts{nodes: r.nodes, sales: r.sales, carriers: carriers}
	o := incident.Options{
		Store: r.store, Nodes: r.nodes, Calendar: r.events, Ledger: r.ledger, Sales: r.sales, DarkAfter: a.cfg.DarkAfter.D(), Facts: f.of,
		Carrier: func(src buffer.Source) string { return carriers[src] }, PublicURL: a.cfg.PublicURL, Log: a.log,
	}
	if len(a.cfg.Notify) > 0 {
		routes, err := routes(a.cfg)
		if err != nil {
			return err
		}
		if r.notifier, err = notify.New(ctx, notify.Options{Store: r.store, Routes: routes, Metrics: r.metrics, Log: a.log}); err != nil {
			return err
		}
		o.Pager = r.notifier
	}
	if r.incidents, err = incident.New(ctx, o); err != nil {
		return err
	}
	if err := r.metrics.Register(r.incidents); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	r.burn, err = burn.New(ctx, burn.Options{Store: r.store, Ledger: r.ledger, Shows: r.events, Alerts: alertsTo(r.incidents), Log: a.log})
	if err != nil {
		return err
	}
	r.witness, err = witness.New(ctx, witness.Options{
		Store: r.store, Ledger: r.ledger, Nodes: r.nodes, Calendar: r.events, Incidents: r.incidents, DarkAfter: a.cfg.DarkAfter.D(), Log: a.log,
	})
	return err
}

// alertsTo hands burn alerts of many nodes to the book of incidents.
func alertsTo(book *incident.Book) func(context.Context, []burn.Alert) error {
	return func(ctx context.Context, list []burn.Alert) error {
		out := make([]incident.Alert, len(list))
		for i, a := range list {
			out[i] = incident.Alert{Alert: a.Alert, Region: a.Region, Venue: a.Venue, Event: a.Event}
		}
		return book.Alerts(ctx, out)
	}
}

// routes are the receivers of the configuration.
func routes(cfg config.Config) ([]notify.Route, error) {
	var out []notify.Route
	for _, c := range cfg.Notify {
		r, err := route(c, cfg.PublicURL)
		if err != nil {
			return nil, err
		}
		r.Wait = c.Wait.D()
		for _, m := range c.Match {
			r.Matchers = append(r.Matchers, notify.Matcher(m))
		}
		out = append(out, r)
	}
	return out, nil
}

func route(c config.Route, public string) (notify.Route, error) {
	switch {
	case c.Alertmanager != nil:
		am, err := notify.NewAlertmanager(c.Alertmanager.URL, 0, nil)
		if err != nil {
			return notify.Route{}, err
		}
		return notify.AlertmanagerRoute(c.Name, am), nil
	case c.Webhook != nil:
		hook, err := notify.NewWebhook(c.Name, c.Webhook.URL, public, nil)
		return notify.Route{Name: c.Name, Receiver: hook}, err
	case c.Signed != nil:
		secrets := make([][]byte, len(c.Signed.Secrets))
		for i, s := range c.Signed.Secrets {
			secrets[i] = []byte(s)
		}
		signed, err := notify.NewSigned(c.Name, c.Signed.URL, secrets, nil)
		return notify.Route{Name: c.Name, Receiver: signed}, err
	}
	return notify.Route{}, fmt.Errorf("receiver %q has no address", c.Name) // which Validate refuses
}

// deadMan is the switch that an address outside watches; nil where there is none. It
// is told while what nodes send is applied and incidents are judged.
func (a *App) deadMan(r *rooms) *notify.DeadMan {
	if a.cfg.DeadMan.URL == "" {
		return nil
	}
	return &notify.DeadMan{
		URL: a.cfg.DeadMan.URL, Method: http.MethodPost, Every: a.cfg.DeadMan.Every.D(), Log: a.log,
		Working: func(ctx context.Context) error {
			if err := r.ingest.Settle(ctx); err != nil {
				return err
			}
			return r.incidents.Working()
		},
	}
}
