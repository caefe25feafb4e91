package agent

import (
	"strconv"
	"time"

	"ghostlight/buffer"
	"ghostlight/collector/page"
	"ghostlight/collector/tail"
	"ghostlight/healthscore"
	"ghostlight/internal/daemon"
	"ghostlight/slo"
)

// status puts together what the rooms know.
func (n *node) status() page.Status {
	readings, watched := n.monitor.Readings(), n.incidents.View()
	return page.Status{
		Source: n.cfg.Node.Source(), Session: strconv.FormatUint(uint64(n.queue.Session()), 10), Version: daemon.Version,
		NowMS: time.Now().UnixMilli(), StartMS: n.started.UnixMilli(),
		Uplink: n.uplink(), Lanes: n.lanes(), Health: n.health(), Journeys: n.journeyStatus(), Heals: n.heals(),
		Objectives: n.objectives(watched), Alerts: n.alerts(watched), Incidents: n.incidentStatus(watched), Shows: shows(watched),
		Targets: n.targets(), Edgecore: n.edgecore(readings),
		Tail: n.tailStatus(),
		Host: page.Host{
			CPUBusy: value(readings, healthscore.CPUBusyRatio), MemoryUsed: value(readings, healthscore.MemoryUsedRatio),
			DiskUsed: value(readings, healthscore.DiskUsedRatio),
		},
	}
}

func (n *node) uplink() page.Uplink {
	st := n.forward.Status()
	u := page.Uplink{Up: st.Up, Mode: st.Mode}
	for _, s := range st.Sent {
		u.SentBytes += s.Bytes
	}
	if b := st.Bandwidth; b != nil {
		u.Bandwidth = &page.Bandwidth{DayBytes: b.DayBytes, DayBudget: b.DayBudget, Withheld: b.Withheld}
	}
	if !st.Since.IsZero() {
		u.SinceMS = st.Since.UnixMilli()
	}
	if !st.Up {
		u.LastError = st.LastError
	}
	return u
}

func (n *node) lanes() map[buffer.Lane]page.Lane {
	stats, refused := n.queue.Stats(), n.sink.Refused()
	out := map[buffer.Lane]page.Lane{}
	for _, lane := range buffer.Lanes() {
		st := stats[lane]
		lost := st.LostTotal()
		out[lane] = page.Lane{
			Produced: st.Produced, Acked: st.Produced - lost - st.Waiting, Waiting: st.Waiting, Lost: lost, LostBy: st.Lost,
			Blocks: st.Blocks, Bytes: st.Bytes, Refused: refused[lane], RecordsLostBy: st.Records.Lost,
		}
	}
	return out
}

func (n *node) tailStatus() page.Tail {
	s := n.tail.Stats()
	return page.Tail{
		Traces: page.Tailed{Received: s.Traces.Received, Kept: byReason(s.Traces.Kept), Dropped: byReason(s.Traces.Dropped), Held: s.Traces.Held},
		Spans:  page.Units{Received: s.Spans.Received, Stored: s.Spans.Stored, Dropped: byReason(s.Spans.Dropped), Waiting: s.Spans.Waiting},
		Lines:  page.Units{Received: s.Lines.Received, Stored: s.Lines.Stored, Dropped: byReason(s.Lines.Dropped), Waiting: s.Lines.Waiting},
		Chance: s.Probability, Bytes: s.Bytes, Withheld: s.Attributes, Masked: s.Redacted,
	}
}

func byReason(counts map[tail.Reason]int64) map[string]int64 {
	out := make(map[string]int64, len(counts))
	for why, n := range counts {
		out[string(why)] = n
	}
	return out
}

func (n *node) health() page.Health {
	s := n.monitor.Score()
	h := page.Health{
		Known: s.Known, Value: s.Value, State: s.State, AtMS: s.AtMS,
		Contributors: []page.Contributor{}, Unknown: append([]string{}, s.Unknown...), Caps: append([]string{}, s.Caps...),
	}
	if s.AtMS == 0 {
		h.State = healthscore.Unknown
	}
	for _, c := range s.Contributors {
		h.Contributors = append(h.Contributors, page.Contributor(c))
	}
	return h
}

func (n *node) journeyStatus() []page.Journey {
	out := []page.Journey{}
	for _, v := range n.journeys.Views() {
		j := page.Journey{
			Name: v.Journey.Name, Schedule: v.Journey.Schedule, Runs: v.Runs, Passed: v.Passed, Failures: v.Failures,
			LastPassMS: v.LastPassMS, RunsHour: v.RunsHour, Steps: []page.Step{},
		}
		if v.Runs > 0 {
			j.LastMS, j.Pass, j.DurationMS = v.Last.StartMS, v.Last.Pass, v.Last.DurationMS
			j.FailedStep, j.Error, j.TraceID = v.Last.FailedStep, v.Last.Error, v.Last.TraceID
		}
		if v.RunsHour > 0 {
			j.SuccessHour = float64(v.PassedHour) / float64(v.RunsHour)
		}
		for _, s := range v.Last.Steps {
			j.Steps = append(j.Steps, page.Step{Name: s.Name, Pass: s.Pass, DurationMS: s.DurationMS, Status: s.Status, Error: s.Error})
		}
		out = append(out, j)
	}
	return out
}

func (n *node) heals() page.Heals {
	records, ok := n.healer.Recent()
	h := page.Heals{Enabled: n.healer.Enabled(), DryRun: n.cfg.Heal.DryRun, ChainOK: ok, Recent: []page.Audit{}}
	for _, a := range records {
		h.Recent = append(h.Recent, page.Audit{
			Seq: a.Seq, AtMS: a.AtMS, Action: a.Action, Reason: a.Reason, Result: a.Result, Detail: a.Detail, DurationMS: a.DurationMS, Hash: a.Hash,
		})
	}
	return h
}

func (n *node) targets() []page.Target {
	out := []page.Target{}
	for _, s := range n.scraper.Status() {
		t := page.Target{
			Job: s.Job, Instance: s.Instance, URL: s.URL, Up: s.Up, Samples: s.Samples, Error: s.Err,
			DurationMS: float64(s.Duration) / float64(time.Millisecond),
		}
		if !s.At.IsZero() {
			t.LastMS = s.At.UnixMilli()
		}
		out = append(out, t)
	}
	return out
}

// stateOf names what is known of a minute.
func stateOf(b slo.Bucket) string {
	switch {
	case b.State == slo.Gap:
		return "gap"
	case b.State == slo.Excluded:
		return "excluded"
	}
	switch b.Silence() {
	case slo.Quiet:
		return "quiet"
	case slo.Blind:
		return "blind"
	case slo.Failing:
		return "failing"
	}
	return "measured"
}

func (n *node) edgecore(readings map[string]healthscore.Reading) *page.Edgecore {
	if n.outcomes == nil {
		return nil
	}
	st := n.outcomes.Status()
	e := &page.Edgecore{
		Up: st.Up, Error: st.Err, Ledger: st.Ledger, Cursor: st.Cursor, Head: st.Head, Outcomes: st.Stored,
		LedgerOK:      yes(value(readings, healthscore.LedgerWritable)),
		HubReachable:  yes(n.monitor.Gauge("edgecore_hub_reachable")),
		Pending:       whole(n.monitor.Gauge("edgecore_settlement_pending")),
		OldestSeconds: value(readings, healthscore.SettlementOldest), CorruptObjects: whole(value(readings, healthscore.CacheCorrupt)),
	}
	if !st.At.IsZero() {
		e.LastMS = st.At.UnixMilli()
	}
	return e
}

// value is a reading no older than a minute, nil otherwise.
func value(readings map[string]healthscore.Reading, name string) *float64 {
	r, ok := readings[name]
	if !ok || !r.Known || time.Since(r.At) > time.Minute {
		return nil
	}
	return &r.Value
}

func yes(v *float64) *bool {
	if v == nil {
		return nil
	}
	b := *v >= 0.5
	return &b
}

func whole(v *float64) *int64 {
	if v == nil {
		return nil
	}
	i := int64(*v)
	return &i
}
