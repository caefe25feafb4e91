package slo

import (
	"errors"
	"fmt"
	"time"
)

// ErrTarget means that a target leaves no error budget or no promise.
var ErrTarget = errors.New("target must be above 0 and below 1")

// Counts is how many events were good and how many there were. It is additive.
type Counts struct {
	Good  int64 `json:"good"`
	Total int64 `json:"total"`
}

// Add returns the sum of c and d.
func (c Counts) Add(d Counts) Counts { return Counts{c.Good + d.Good, c.Total + d.Total} }

// Bad is how many events were not good.
func (c Counts) Bad() int64 { return c.Total - c.Good }

// ErrorRatio is bad/total, 0 without events.
func (c Counts) ErrorRatio() float64 {
	if c.Total <= 0 {
		return 0
	}
	return float64(c.Bad()) / float64(c.Total)
}

// BurnRate reports how many times faster than sustainable the error budget is
// being spent: (bad/total)/(1-target). A window without events burns nothing.
// The error is [ErrTarget]. Source: SRE Workbook, chapter 5.
func BurnRate(target float64, c Counts) (float64, error) {
	if !(target > 0 && target < 1) {
		return 0, fmt.Errorf("burn rate: %w: %v", ErrTarget, target)
	}
	return c.ErrorRatio() / (1 - target), nil
}

// Urgency says whom a burn alert wakes.
type Urgency string

// The urgencies: a page wakes somebody, a ticket waits for the morning.
const (
	Page   Urgency = "page"
	Ticket Urgency = "ticket"
)

// A Tier is one multi-window burn alert: it fires while the burn rate over both
// windows is above Rate.
type Tier struct {
	Long    time.Duration
	Short   time.Duration // Long/12, at least a minute: lets the alert reset soon after the errors end
	Share   float64       // of the period's budget spent within Long at exactly Rate
	Rate    float64       // Share * period / Long
	Urgency Urgency
	After   time.Duration // how long both must burn before it fires
}

// tierPeriod is the shortest period that gets the published windows; those of
// shorter periods shrink in proportion.
const tierPeriod = 28 * 24 * time.Hour

// Tiers returns the burn alerts for budgets over period, most urgent first. For
// 30 d they are 1h/5m at 14.4, 6h/30m at 6 (pages), 1d/2h at 3, 3d/6h at 1
// (tickets). Source: SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate
// Alerts".
//
// Below four weeks the windows shrink with the period, to multiples of 12 minutes
// or, below that, whole minutes: none ever rounds to nothing. A rate that would
// then be below the sustainable one becomes 1. Where two tiers of an urgency
// shrink to one window, the one that asks for more stays.
func Tiers(period time.Duration) []Tier {
	const day = 24 * time.Hour
	var out []Tier
	for _, t := range []Tier{
		{Long: time.Hour, Share: 0.02, Urgency: Page},
		{Long: 6 * time.Hour, Share: 0.05, Urgency: Page},
		{Long: day, Share: 0.10, Urgency: Ticket},
		{Long: 3 * day, Share: 0.10, Urgency: Ticket},
	} {
		if period < tierPeriod {
			t.Long = shrink(t.Long, period)
		}
		t.Short = max(t.Long/12, time.Minute)
		t.Rate = t.Share * float64(period) / float64(t.Long)
		if period < tierPeriod && t.Rate < 1 {
			t.Rate, t.Share = 1, float64(t.Long)/float64(period)
		}
		if n := len(out); n > 0 && out[n-1].Long == t.Long && out[n-1].Urgency == t.Urgency {
			out = out[:n-1]
		}
		out = append(out, t)
	}
	return out
}

// shrink is the window long of a four-week period for a shorter one, such that
// buckets of a minute can fill both it and its twelfth.
func shrink(long, period time.Duration) time.Duration {
	exact := float64(long) * float64(period) / float64(tierPeriod)
	step := 12 * time.Minute
	if exact < float64(step)/2 {
		step = time.Minute
	}
	return max(step, time.Duration(exact/float64(step)+0.5)*step)
}

// CanFire reports, as an error, a tier that no error ratio can ever reach: the
// highest possible burn rate is 1/(1-target).
func (t Tier) CanFire(target float64) error {
	if !(target > 0 && target < 1) {
		return fmt.Errorf("burn alert: %w: %v", ErrTarget, target)
	}
	if highest := 1 / (1 - target); t.Rate >= highest {
		return fmt.Errorf("burn alert over %v at rate %.4g can never fire: with target %v even total failure burns at %.4g", t.Long, t.Rate, target, highest)
	}
	return nil
}

// Fires reports whether both windows burn faster than the tier allows.
func (t Tier) Fires(target float64, long, short Counts) (bool, error) {
	l, err := BurnRate(target, long)
	if err != nil {
		return false, err
	}
	s, err := BurnRate(target, short)
	if err != nil {
		return false, err
	}
	return l > t.Rate && s > t.Rate, nil
}

// DetectionTime is how long errors at a constant ratio, after a clean past, go
// on before a single-window alert over window at rate fires; window itself when
// they are too few to ever fire it. Source: SRE Workbook, chapter 5:
// (1-target)/ratio * window * rate.
func DetectionTime(target, ratio float64, window time.Duration, rate float64) time.Duration {
	if ratio <= (1-target)*rate {
		return window
	}
	return time.Duration((1 - target) / ratio * float64(window) * rate)
}

// ResetTime is how long the same alert goes on firing after the errors end,
// provided that they lasted just until it was detected: window less the
// detection time.
func ResetTime(target, ratio float64, window time.Duration, rate float64) time.Duration {
	return window - DetectionTime(target, ratio, window, rate)
}

// Exhaustion is how long the whole budget of period lasts at a constant burn
// rate; 0 when the rate is not positive, which never exhausts it.
func Exhaustion(period time.Duration, rate float64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(float64(period) / rate)
}
