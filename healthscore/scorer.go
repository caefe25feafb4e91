package healthscore

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of a node.
const (
	Healthy  = "healthy"
	Degraded = "degraded"
	Unknown  = "unknown"
)

// A Score is the health of a node at one moment. Its numbers are finite.
type Score struct {
	Value        float64       `json:"value"`    // 0 to 100; 0 when not Known
	Known        bool          `json:"known"`    // every essential signal is
	Uncapped     float64       `json:"uncapped"` // 100 less the contributors' penalties
	State        string        `json:"state"`    // healthy, degraded or unknown
	Contributors []Contributor `json:"contributors,omitempty"`
	Unknown      []string      `json:"unknown,omitempty"` // signals without a usable reading
	Caps         []string      `json:"caps,omitempty"`    // what holds the score down, each with its maximum
	AtMS         int64         `json:"at_ms"`             // Unix milliseconds
}

// A Contributor is a signal that costs points now.
type Contributor struct {
	Signal  string  `json:"signal"`
	Text    string  `json:"text"`    // one sentence: what, since how long, how many points
	Value   float64 `json:"value"`   // smoothed
	Penalty float64 `json:"penalty"` // points, above 0
}

// A Scorer keeps what a score needs of the past: smoothed values and the state's
// hysteresis. It is not safe for concurrent use.
type Scorer struct {
	model  Model
	smooth map[string]smoothed
	since  map[string]time.Time // when a signal began to cost points
	state  string
	turn   time.Time // since when the score asks for the other state
}

type smoothed struct {
	value float64
	at    time.Time
}

// NewScorer returns a scorer of m.
func NewScorer(m Model) (*Scorer, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("health model: %w", err)
	}
	return &Scorer{model: m, smooth: map[string]smoothed{}, since: map[string]time.Time{}, state: Unknown}, nil
}

// Update scores the readings at now. Readings of signals the model does not know
// are passed over.
func (s *Scorer) Update(now time.Time, readings map[string]Reading) Score {
	score := Score{Known: true, Uncapped: 100, AtMS: now.UnixMilli()}
	for _, sig := range s.model.Signals {
		r := readings[sig.Name]
		if !r.usable(now, sig.MaxAge) {
			delete(s.smooth, sig.Name)
			delete(s.since, sig.Name)
			score.Unknown = append(score.Unknown, sig.Name)
			score.Known = score.Known && !sig.Essential
			continue
		}
		if c, costs := s.contribution(now, sig, r); costs {
			score.Contributors = append(score.Contributors, c)
			score.Uncapped -= c.Penalty
		}
	}
	if len(score.Unknown) == len(s.model.Signals) {
		score.Known = false
	}
	slices.SortStableFunc(score.Contributors, func(a, b Contributor) int { return cmp.Compare(b.Penalty, a.Penalty) })
	score.Uncapped = max(0, score.Uncapped) // against rounding of the last bit
	score.Value = s.cap(now, readings, &score)
	if !score.Known {
		score.Value = 0
	}
	score.State = s.turnState(now, score)
	return score
}

// contribution is what one usable reading costs.
func (s *Scorer) contribution(now time.Time, sig Signal, r Reading) (Contributor, bool) {
	v := s.smoothen(sig, r)
	penalty := sig.Weight * sig.share(v)
	if penalty <= 0 {
		delete(s.since, sig.Name)
		return Contributor{}, false
	}
	if _, ok := s.since[sig.Name]; !ok {
		s.since[sig.Name] = now
	}
	what := r.Detail
	if what == "" {
		what = strings.ReplaceAll(sig.Text, "{}", sig.format(v))
	}
	if d := now.Sub(s.since[sig.Name]); d >= time.Second {
		what += " for " + spell(d)
	}
	return Contributor{Signal: sig.Name, Value: v, Penalty: penalty, Text: what + " (-" + points(penalty) + ")"}, true
}

// limit keeps sums of readings finite; no signal means anything beyond it.
const limit = 1e9

// smoothen follows the readings with the signal's time constant. A reading is
// taken in once, by its own time.
func (s *Scorer) smoothen(sig Signal, r Reading) float64 {
	r.Value = min(max(r.Value, -limit), limit)
	was, ok := s.smooth[sig.Name]
	switch {
	case sig.Smooth == 0 || !ok || r.At.Before(was.at):
		was = smoothed{r.Value, r.At}
	case r.At.After(was.at):
		gain := 1 - math.Exp(-float64(r.At.Sub(was.at))/float64(sig.Smooth))
		was = smoothed{was.value + gain*(r.Value-was.value), r.At}
	}
	s.smooth[sig.Name] = was
	return was.value
}

// cap holds the score down and names what does.
func (s *Scorer) cap(now time.Time, readings map[string]Reading, score *Score) float64 {
	value := score.Uncapped
	for _, c := range s.model.Caps {
		i := slices.IndexFunc(s.model.Signals, func(sig Signal) bool { return sig.Name == c.Signal })
		r := readings[c.Signal]
		if !r.usable(now, s.model.Signals[i].MaxAge) {
			continue
		}
		if past := c.Above && r.Value > c.Bound || !c.Above && r.Value < c.Bound; !past {
			continue
		}
		score.Caps = append(score.Caps, c.Text+" (at most "+points(c.Max)+")")
		value = min(value, c.Max)
	}
	return value
}

// turnState moves the state with hysteresis: it changes once the score has asked
// for it for the whole dwell. Out of unknown it is decided at once, for healthy
// only at or above Leave.
func (s *Scorer) turnState(now time.Time, score Score) string {
	if !score.Known {
		s.state, s.turn = Unknown, time.Time{}
		return s.state
	}
	want := s.state
	switch {
	case score.Value >= s.model.Leave:
		want = Healthy
	case score.Value <= s.model.Enter || s.state == Unknown:
		want = Degraded
	}
	switch {
	case want == s.state:
		s.turn = time.Time{}
	case s.state == Unknown:
		s.state = want
	default:
		if s.turn.IsZero() || s.turn.After(now) {
			s.turn = now
		}
		if now.Sub(s.turn) >= s.model.Dwell {
			s.state, s.turn = want, time.Time{}
		}
	}
	return s.state
}

func (s Signal) format(v float64) string {
	switch s.Unit {
	case "ratio":
		return points(100*v) + " %"
	case "seconds":
		return spell(time.Duration(v * float64(time.Second)))
	}
	return points(v)
}

// points writes a number with at most one decimal.
func points(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// spell writes a duration in its two largest units: "12 s", "3 min 5 s", "2 h 10 min".
func spell(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return trimZero(fmt.Sprintf("%d min %d s", s/60, s%60))
	case s < 86_400:
		return trimZero(fmt.Sprintf("%d h %d min", s/3600, s%3600/60))
	}
	return trimZero(fmt.Sprintf("%d d %d h", s/86_400, s%86_400/3600))
}

// trimZero drops a smaller unit of zero.
func trimZero(s string) string {
	if i := strings.Index(s, " 0 "); i > 0 {
		return s[:i]
	}
	return s
}
