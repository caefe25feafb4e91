package journeys

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ghostlight/collector/self"
	"ghostlight/synthetics"
)

// bounds of the duration histogram, in seconds.
var (
	bounds     = []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
	boundTexts = func() []string {
		out := make([]string, len(bounds))
		for i, b := range bounds {
			out[i] = strconv.FormatFloat(b, 'f', -1, 64)
		}
		return out
	}()
)

// hourRuns bounds the runs kept for the share of the last hour.
const hourRuns = 3600

// history is what the runs of one journey came to since the agent started.
type history struct {
	journey  synthetics.Journey
	runs     int64
	passed   int64
	failures int // in a row, up to the last run
	last     synthetics.Result
	end      time.Time // of the last run
	lastPass int64     // start of the last run that passed, Unix milliseconds
	since    int64     // start of the first of the runs that all came to what the last did
	past     Stretch
	buckets  []int64
	sum      float64 // seconds
	recent   []recentRun
}

type recentRun struct {
	start int64 // Unix milliseconds
	pass  bool
}

func newHistory(j synthetics.Journey) *history {
	return &history{journey: j, buckets: make([]int64, len(bounds)+1)}
}

// add takes in one run and reports whether the journey turned from passing to
// failing or back.
func (h *history) add(res synthetics.Result, end time.Time) (turned bool) {
	turned = h.runs > 0 && res.Pass != h.last.Pass || h.runs == 0 && !res.Pass
	if res.Pass && h.failures > 0 {
		h.past = Stretch{Failures: h.failures, SinceMS: h.since, End: h.end, Last: h.last}
	}
	if h.runs == 0 || res.Pass != h.last.Pass {
		h.since = res.StartMS
	}
	h.runs++
	h.last, h.end = res, end
	if res.Pass {
		h.passed++
		h.failures = 0
		h.lastPass = res.StartMS
	} else {
		h.failures++
	}
	s := res.DurationMS / 1000
	h.sum += s
	i, _ := slices.BinarySearch(bounds, s)
	h.buckets[i]++
	h.recent = append(h.recent, recentRun{res.StartMS, res.Pass})
	old := slices.IndexFunc(h.recent, func(r recentRun) bool { return r.start > res.StartMS-time.Hour.Milliseconds() })
	h.recent = slices.Delete(h.recent, 0, max(old, len(h.recent)-hourRuns, 0))
	return turned
}

// A Stretch is runs in a row that failed.
type Stretch struct {
	Failures int
	SinceMS  int64     // start of the first
	End      time.Time // of the last
	Last     synthetics.Result
}

// A View is one journey as others see it.
type View struct {
	Journey           synthetics.Journey
	Runs, Passed      int64
	Failures          int // in a row, up to the last run
	Last              synthetics.Result
	End               time.Time // of the last run; zero: none yet
	LastPassMS        int64
	SinceMS           int64   // start of the first of the runs in a row that passed, or failed, as the last did
	Past              Stretch // the last failures that were followed by a pass; zero without any
	RunsHour          int64
	PassedHour        int64
	FailsAtCache      bool // the last run failed at a step that reads the catalogue through the cache
	RelayKnown, Relay bool // the last run reached a WebSocket step, and that passed
}

// Views lists all journeys in the order of Options.
func (r *Room) Views() []View {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]View, 0, len(r.o.Journeys))
	for _, j := range r.o.Journeys {
		out = append(out, r.runs[j.Name].view(r.o.Now()))
	}
	return out
}

func (h *history) view(now time.Time) View {
	v := View{Journey: h.journey, Runs: h.runs, Passed: h.passed, Failures: h.failures, Last: h.last, End: h.end, LastPassMS: h.lastPass, SinceMS: h.since, Past: h.past}
	for _, r := range h.recent {
		if r.start > now.Add(-time.Hour).UnixMilli() {
			v.RunsHour++
			if r.pass {
				v.PassedHour++
			}
		}
	}
	for i, step := range h.last.Steps {
		if i >= len(h.journey.Steps) {
			break
		}
		def := h.journey.Steps[i]
		if def.WebSocket != nil {
			v.RelayKnown, v.Relay = true, step.Pass
		}
		if !step.Pass && def.Request != nil && strings.Contains(def.Request.URL, "/v1/catalog") {
			v.FailsAtCache = true
		}
	}
	return v
}

// Gather adds the metrics of all journeys.
func (r *Room) Gather(g *self.Gatherer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.o.Journeys {
		h := r.runs[j.Name]
		g.Counter("ghostlight_journey_runs_total", "Finished runs of the journey.", float64(h.passed), "journey", j.Name, "result", "pass")
		g.Counter("ghostlight_journey_runs_total", "Finished runs of the journey.", float64(h.runs-h.passed), "journey", j.Name, "result", "fail")
		if h.runs == 0 {
			continue
		}
		success := 0.0
		if h.last.Pass {
			success = 1
		}
		g.Gauge("ghostlight_journey_success", "1 if the last run of the journey passed, 0 if it failed.", success, "journey", j.Name)
		g.Histogram("ghostlight_journey_duration_seconds", "How long runs of the journey took.", boundTexts, h.buckets, h.sum, "journey", j.Name)
		for _, step := range h.last.Steps {
			g.Gauge("ghostlight_journey_step_duration_seconds", "How long the step took in the last run.", step.DurationMS/1000, "journey", j.Name, "step", step.Name)
		}
	}
}
