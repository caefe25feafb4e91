package app

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/ingest"
	"ghostlight/fleet/report"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
	"ghostlight/fleet/tsdb"
	"ghostlight/fleet/web"
	"ghostlight/fleet/web/api"
	"ghostlight/internal/daemon"
)

// pages joins the books with the views, reports and pages made of them.
func (a *App) pages(r *rooms) (http.Handler, error) {
	standings := burn.Standings{Ledger: r.ledger, Room: r.burn}
	views, err := status.New(status.Options{
		Nodes: r.nodes, History: r.nodes, Sales: r.sales, Ledger: standings, Calendar: r.events, Incidents: r.incidents,
		Metrics: metricsOf(r.series), Accepted: samplesOf(r.ingest), Overflow: r.ingest.Overflow, Evidence: r.evidence,
	})
	if err != nil {
		return nil, err
	}
	kept, err := objectives.New(objectives.Options{Nodes: r.nodes, Ledger: standings, Calendar: r.events, Auditor: r.burn})
	if err != nil {
		return nil, err
	}
	troubles, err := incidents.New(incidents.Options{Book: r.incidents, Nodes: r.nodes, Ledger: standings, Costs: views})
	if err != nil {
		return nil, err
	}
	reports, err := report.New(report.Options{
		Nodes: r.nodes, History: r.nodes, Sales: r.sales, Ledger: r.ledger, Calendar: r.events, Incidents: r.incidents, Auditor: r.burn,
	})
	if err != nil {
		return nil, err
	}
	o := api.Options{
		Views: views, Objectives: kept, Incidents: troubles, Reports: reports, Calendar: r.events, Journal: taken{r.ingest}, Desk: r.incidents,
		APIToken: a.cfg.APIToken, Log: a.log,
	}
	if r.notifier != nil {
		o.Silences = r.notifier
	}
	return web.New(web.Options{Options: o, Version: daemon.Version})
}

func metricsOf(db *tsdb.DB) status.Metrics {
	return func(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]status.Series, error) {
		found, err := db.QueryRange(ctx, query, from, to, step)
		if err != nil {
			return nil, err
		}
		out := make([]status.Series, 0, len(found))
		for _, s := range found {
			out = append(out, status.Series(s))
		}
		return out, nil
	}
}

func samplesOf(in *ingest.Ingest) status.Accepted {
	return func(context.Context) (map[buffer.Source]map[buffer.Lane]int64, error) {
		out := map[buffer.Source]map[buffer.Lane]int64{}
		for src, lanes := range in.Accepted() {
			out[src] = map[buffer.Lane]int64{}
			for lane, a := range lanes {
				out[src][lane] = a.Samples
			}
		}
		return out, nil
	}
}

// taken lists what the ingest accepted, by node, lane and origin.
type taken struct{ ingest *ingest.Ingest }

// Accepted implements [api.Journal].
func (t taken) Accepted(context.Context) ([]api.Accepted, error) {
	out := []api.Accepted{}
	for src, lanes := range t.ingest.Accepted() {
		for lane, a := range lanes {
			out = append(out, api.Accepted{
				Region: src.Region, Venue: src.Venue, Node: src.Node, Origin: api.OriginAgent, Lane: lane, Blocks: a.Blocks, Samples: a.Samples, Records: a.Records,
			})
		}
	}
	for _, a := range t.ingest.AcceptedByDoors() {
		out = append(out, api.Accepted{
			Region: a.Source.Region, Venue: a.Source.Venue, Node: a.Source.Node, Origin: a.Door, Lane: a.Lane,
			Blocks: a.Blocks, Samples: a.Samples, Records: a.Records,
		})
	}
	slices.SortFunc(out, func(a, b api.Accepted) int {
		if c := strings.Compare(a.Region+"/"+a.Venue+"/"+a.Node, b.Region+"/"+b.Venue+"/"+b.Node); c != 0 {
			return c
		}
		if c := strings.Compare(a.Origin, b.Origin); c != 0 {
			return c
		}
		return int(a.Lane) - int(b.Lane)
	})
	return out, nil
}
