package statustest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/events"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/healthscore"
	"ghostlight/healthscore/heal"
	"ghostlight/slo"
	"ghostlight/synthetics"
)

// moment is the clock of [Night]: a quarter past two in the afternoon, in the
// middle of things.
var moment = time.Date(2026, 11, 22, 14, 8, 20, 0, time.UTC)

// plot is what one venue of the night goes through.
type plot struct {
	venue, contact string
	perMinute      float64 // sales
	score          float64
	state          string
	contributors   []healthscore.Contributor
	presence       registry.Presence
	failFrom       time.Time // journeys and payments fail from here on
	darkFrom       time.Time
	darkTo         time.Time // zero with darkFrom: goes on
	quietFrom      time.Time
	noJourney      bool
}

// Night is a fleet of eight venues, one in each state, with the last 70 minutes
// of history. It is the same each time.
func Night() *Fleet {
	f := &Fleet{
		Clock: moment, Sold: map[string]map[int64]sales.Totals{}, Buckets: map[string]map[string][]slo.Bucket{},
		Series: map[string]func(time.Time) (float64, bool){}, Samples: map[buffer.Source]map[buffer.Lane]int64{},
	}
	rng := rand.New(rand.NewPCG(7, 11))
	at := func(h, m, s int) time.Time { return time.Date(2026, 11, 22, h, m, s, 0, time.UTC) }
	for _, p := range []plot{
		{venue: "soho", contact: "Ines, +44 20 7946 0101", perMinute: 6.5, score: 97, state: "healthy", presence: registry.Live, darkFrom: at(13, 31, 10), darkTo: at(13, 37, 42)},
		{venue: "brixton", contact: "Kwame, +44 20 7946 0155", perMinute: 4.2, score: 41, state: "degraded", presence: registry.Live, failFrom: at(14, 4, 12), contributors: []healthscore.Contributor{
			{Signal: "journey_success", Text: "3 of the last 4 journeys failed for 4 min 8 s (-35)", Value: 0.25, Penalty: 35},
			{Signal: "payment_error_ratio", Text: "62.1 % of payments failed for 4 min 2 s (-19.4)", Value: 0.62, Penalty: 19.4},
			{Signal: "cpu_busy_ratio", Text: "processor 91.2 % busy for 2 min 10 s (-4.6)", Value: 0.912, Penalty: 4.6},
		}},
		{venue: "camden", contact: "Asha, +44 20 7946 0120", perMinute: 5.1, score: 94, state: "healthy", presence: registry.Dark, darkFrom: at(14, 5, 3)},
		{venue: "dalston", contact: "Tom, +44 20 7946 0177", perMinute: 1.4, score: 99, state: "healthy", presence: registry.Live, quietFrom: at(13, 58, 0)},
		{venue: "hoxton", contact: "Mara, +44 20 7946 0133", perMinute: 3.3, score: 58, state: "degraded", presence: registry.Live, contributors: []healthscore.Contributor{
			{Signal: "settlement_oldest_seconds", Text: "oldest unsettled sale waits 11 min 4 s (-24)", Value: 664, Penalty: 24},
			{Signal: "disk_used_ratio", Text: "disk 92.0 % full (-18)", Value: 0.92, Penalty: 18},
		}},
		{venue: "peckham", perMinute: 0, state: "unknown", presence: registry.Live, noJourney: true},
		{venue: "shoreditch", contact: "Lena, +44 20 7946 0188", perMinute: 2, score: 96, state: "healthy", presence: registry.Away},
		{venue: "leeds", presence: registry.Never, noJourney: true},
	} {
		f.play(p, rng)
	}
	f.heals(at)
	f.troubles(at)
	f.Shows = []events.Event{
		{
			ID: "e2f7kq5d", Name: "Sunday matinee", Venues: []string{"brixton", "camden", "soho"}, StartMS: at(13, 20, 0).UnixMilli(),
			DoorsMS: at(13, 20, 0).UnixMilli(), OnMS: at(12, 20, 0).UnixMilli(), Origin: events.Hand,
		},
		{
			ID: "a81mzt0c", Name: "Friday night, doors at eight", Venues: []string{"dalston", "soho"}, StartMS: at(13, 14, 0).UnixMilli(), EndMS: at(13, 56, 30).UnixMilli(),
			DoorsMS: at(13, 0, 0).UnixMilli(), OnMS: at(12, 0, 0).UnixMilli(), OffMS: at(14, 26, 30).UnixMilli(), Origin: events.API,
		},
		{
			ID: "c40nd1re", Name: "Evening show", Venues: []string{"camden"}, StartMS: at(19, 30, 0).UnixMilli(), EndMS: at(22, 0, 0).UnixMilli(),
			DoorsMS: at(18, 30, 0).UnixMilli(), OnMS: at(17, 30, 0).UnixMilli(), OffMS: at(22, 30, 0).UnixMilli(), Origin: events.ICS, Source: "Box office", UID: "77@box",
		},
	}
	return f
}

func source(venue string) buffer.Source {
	return buffer.Source{Region: "london", Venue: venue, Node: venue + "-1"}
}

func (f *Fleet) play(p plot, rng *rand.Rand) {
	src := source(p.venue)
	view := registry.View{Source: src, Contact: p.contact, Presence: p.presence, Live: p.presence == registry.Live}
	if p.presence == registry.Never {
		f.Views = append(f.Views, view)
		return
	}
	start := f.Clock.Add(-70 * time.Minute)
	view.FirstSeen, view.LastSeen = start, f.Clock.Add(-2*time.Second)
	seen := f.Clock
	if !p.darkFrom.IsZero() {
		f.Darks = append(f.Darks, registry.Darkness{Source: src, Episode: registry.Episode{Start: p.darkFrom, End: p.darkTo}})
		if p.darkTo.IsZero() {
			view.LastSeen, view.DarkSince, seen = p.darkFrom, p.darkFrom, p.darkFrom
		}
	}
	if p.presence == registry.Away {
		seen = f.Clock.Add(-22 * time.Minute)
		view.LastSeen = seen
	}
	view.Heartbeat = heartbeat(view, p)
	f.Samples[src] = map[buffer.Lane]int64{}
	for lane, st := range view.Heartbeat.Lanes {
		f.Samples[src][lane] = st.Produced - st.Waiting - st.LostTotal()
	}
	if p.state != "" {
		view.Score = &healthscore.Score{Value: p.score, Known: p.state != "unknown", State: p.state, Contributors: p.contributors, AtMS: seen.UnixMilli()}
		if p.state == "unknown" {
			view.Score.Unknown = []string{"edgecore_up", "journey_success"}
		}
	}
	if !p.noJourney {
		view.Journeys = f.journeys(p, src, start, seen)
	}
	f.sell(p, src, start, seen, rng)
	f.metrics(p, start, seen)
	f.Views = append(f.Views, view)
}

func heartbeat(v registry.View, p plot) wire.Heartbeat {
	hb := wire.Heartbeat{Version: "0.1.0", PageURL: "http://192.168.20.4:7500/", Lanes: map[buffer.Lane]wire.LaneStats{}}
	for i, lane := range buffer.Lanes() {
		n := int64(4200 * (i*i + 1))
		hb.Lanes[lane] = wire.LaneStats{Produced: n}
	}
	if p.presence == registry.Dark {
		hb.Lanes[buffer.Revenue] = wire.LaneStats{Produced: 4260, Waiting: 60}
		hb.Lanes[buffer.Detail] = wire.LaneStats{Produced: 21_000, Waiting: 1144}
	}
	if p.venue == "hoxton" {
		hb.Lanes[buffer.Logs] = wire.LaneStats{Produced: 71_400, Lost: map[string]int64{"disk budget: logs sampled": 312}}
	}
	return hb
}

var steps = []string{"check in", "catalogue", "order", "pay", "verify receipt", "relay", "refund"}

// journeys runs the revenue path every 20 seconds.
func (f *Fleet) journeys(p plot, src buffer.Source, from, to time.Time) []synthetics.Result {
	var last synthetics.Result
	for i, at := 0, from; at.Before(to); i, at = i+1, at.Add(20*time.Second) {
		r := synthetics.Result{Journey: "revenue-path", StartMS: at.UnixMilli(), DurationMS: 62 + 18*math.Sin(float64(i)/9) + float64(i%7), Pass: true, TraceID: fmt.Sprintf("%032x", i+1)}
		failing := !p.failFrom.IsZero() && !at.Before(p.failFrom)
		short := p.venue == "soho" && i >= 72 && i < 75 // an earlier outage, healed
		for n, name := range steps {
			s := synthetics.StepResult{Name: name, StartMS: at.UnixMilli(), DurationMS: 4 + float64(n*3), Pass: true, Status: 200}
			if (failing || short) && name == "pay" {
				s.Pass, s.Status, s.Error = false, 503, "expected status 201, got 503: ledger is not writable"
				r.Pass, r.FailedStep, r.Error, r.DurationMS = false, name, s.Error, 212
			}
			r.Steps = append(r.Steps, s)
			if !s.Pass {
				break
			}
		}
		f.RunList = append(f.RunList, registry.Run{Source: src, Result: r})
		last = r
	}
	return []synthetics.Result{last}
}

func checkout() slo.Objective {
	o := slo.Objective{
		Name: "checkout-success", DisplayName: "Checkout success", Description: "Of the payments people try, at least 99 in 100 go through or are declined by their bank.",
		Owner: "payments team", Target: 0.99, Indicator: slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}},
		Budgeting: slo.Occurrences, Window: slo.Window{Count: 28, Unit: slo.Day, Rolling: true}, Capacity: 30, PerEvent: true,
	}
	o.Hash = slo.IndicatorHash(o.Name, o.Indicator)
	return o
}

// sell makes the venue's outcomes and the objective's buckets.
func (f *Fleet) sell(p plot, src buffer.Source, from, to time.Time, rng *rand.Rand) {
	if len(f.Defs) == 0 {
		f.Defs = []ledger.Definition{{Objective: checkout()}}
		f.Buckets["checkout-success"] = map[string][]slo.Bucket{}
	}
	def := &f.Defs[0]
	sold := map[int64]sales.Totals{}
	first := slo.MinuteOf(from) + 1
	def.Nodes = append(def.Nodes, ledger.Participant{Source: src, Since: first})
	for m := first; m <= slo.MinuteOf(to); m++ {
		at := slo.MinuteStart(m)
		n := int64(math.Max(0, p.perMinute*(1+0.35*math.Sin(float64(m)/7))+rng.NormFloat64()*math.Sqrt(p.perMinute)*0.5))
		if !p.quietFrom.IsZero() && !at.Before(p.quietFrom) {
			n = 0
		}
		b := slo.Bucket{Objective: def.Name, Hash: def.Hash, Minute: m, Revision: 1, State: slo.Measured, Observed: 60, Passing: !p.noJourney}
		t := sales.Totals{Sales: n, AmountMinor: map[string]int64{"EUR": n * (1450 + rng.Int64N(900))}, Checkins: n + rng.Int64N(n+2), Orders: n}
		if !p.failFrom.IsZero() && at.Add(time.Minute).After(p.failFrom) {
			t.FailedPayments, t.Sales = n*2/3+1, n-n*2/3
			t.AmountMinor["EUR"] = t.Sales * 1700
			b.Passing, b.Failing = false, t.Sales == 0 && t.FailedPayments == 0
		}
		if n > 3 && m%11 == 0 {
			t.Declined = 1
		}
		b.Good, b.Total = t.Sales+t.Declined, t.Sales+t.Declined+t.FailedPayments
		if p.venue == "hoxton" && m%23 == 5 {
			b.State, b.Good, b.Total, b.Observed = slo.Gap, 0, 0, 0
		}
		if p.noJourney {
			b.Observed = 31
		}
		if n > 0 || t.FailedPayments > 0 {
			sold[m] = t
		}
		f.Buckets[def.Name][src.String()] = append(f.Buckets[def.Name][src.String()], b)
	}
	f.Sold[p.venue] = sold
}

func (f *Fleet) metrics(p plot, from, to time.Time) {
	curve := func(base, swing, bad float64) func(time.Time) (float64, bool) {
		return func(at time.Time) (float64, bool) {
			if at.Before(from) || at.After(to) {
				return 0, false
			}
			v := base + swing*math.Sin(float64(at.Unix())/400) + swing/3*math.Sin(float64(at.Unix())/37)
			if !p.failFrom.IsZero() && at.After(p.failFrom) {
				v = bad
			}
			return v, true
		}
	}
	if p.state != "unknown" {
		good := max(p.score, 88)
		f.Series["ghostlight_health_score|"+p.venue] = curve(good-3, 2, p.score)
	}
	f.Series["edgecore_http_request_duration|"+p.venue] = curve(0.042, 0.012, 0.39)
	f.Series["edgecore_settlement_pending|"+p.venue] = curve(3, 2.6, 17)
	f.Series["system_cpu_time|"+p.venue] = curve(0.31, 0.1, 0.91)
	f.Series["system_memory_usage|"+p.venue] = curve(0.46, 0.02, 0.55)
}

func (f *Fleet) heals(at func(h, m, s int) time.Time) {
	add := func(venue string, when time.Time, action, reason, result, detail string, took time.Duration) {
		f.HealList = append(f.HealList, registry.Heal{Source: source(venue), Audit: heal.Audit{
			Seq: int64(len(f.HealList) + 1), AtMS: when.UnixMilli(), Action: action, Reason: reason, Result: result, Detail: detail,
			DurationMS: took.Milliseconds(), Hash: fmt.Sprintf("%064x", len(f.HealList)+1),
		}})
	}
	add("soho", at(13, 22, 49), "restart edgecore-soho", "journey revenue-path failed 2 times in a row", heal.Started, "", 0)
	add("soho", at(13, 22, 56), "restart edgecore-soho", "journey revenue-path failed 2 times in a row", heal.Succeeded, "", 6400*time.Millisecond)
	add("dalston", at(13, 41, 7), "cache repair", "3 corrupt objects in the cache", heal.Succeeded, "3 objects fetched anew from the hub", 840*time.Millisecond)
	add("brixton", at(14, 4, 44), "restart edgecore-brixton", "journey revenue-path failed 2 times in a row", heal.Failed, "the journey still fails at step pay", 12100*time.Millisecond)
	add("brixton", at(14, 5, 50), "restart edgecore-brixton", "journey revenue-path failed 5 times in a row", heal.Refused, "cool-down of 30 s and the ledger is not writable", 0)
}

// Passing is one run of the revenue path that passed just now.
func (f *Fleet) Passing() []synthetics.Result {
	return []synthetics.Result{{Journey: "revenue-path", StartMS: f.Clock.Add(-time.Second).UnixMilli(), Pass: true}}
}
