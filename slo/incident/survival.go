package incident

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// z is the normal quantile of the two-sided 95 % intervals given here.
const z = 1.959963984540054

// An Observation is how long one incident lasted, or has lasted so far: then it is
// censored, and all that is known is that it lasts longer.
type Observation struct {
	Lasted   time.Duration
	Censored bool
}

// A Step is what a [Curve] is from At on, until the next step.
type Step struct {
	At     time.Duration
	AtRisk int     // lasted at least At
	Ended  int     // at At
	Open   float64 // share that lasts longer than At
	StdErr float64 // of Open
	Low    float64 // 95 % interval of Open
	High   float64
}

// A Curve estimates what share of incidents lasts longer than a time, from some of
// which only a lower bound is known. Source: E. L. Kaplan and P. Meier, 1958.
type Curve struct {
	Steps   []Step        // at each time that an incident ended
	N       int           // observations
	Ended   int           // of which not censored
	Longest time.Duration // longest observation, censored or not
}

// Survive makes the curve. Of equal times those that ended come before those
// censored. The variance is Greenwood's, the interval that of the logarithm, as in
// the survival package of R: Open * exp(±z * StdErr/Open), at most 1. Once none is
// left open the formula has no value: the interval reaches from 0 to where it was.
func Survive(list []Observation) Curve {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Observation) int { return cmp.Compare(a.Lasted, b.Lasted) })
	c := Curve{N: len(list)}
	open, sum, high := 1.0, 0.0, 1.0 // sum is Greenwood's: d / (n * (n-d))
	for i := 0; i < len(list); {
		at, risk, ended := list[i].Lasted, len(list)-i, 0
		for ; i < len(list) && list[i].Lasted == at; i++ {
			if !list[i].Censored {
				ended++
			}
		}
		c.Longest = at
		if ended == 0 {
			continue
		}
		c.Ended += ended
		s := Step{At: at, AtRisk: risk, Ended: ended, High: high}
		if ended < risk {
			open *= float64(risk-ended) / float64(risk)
			sum += float64(ended) / (float64(risk) * float64(risk-ended))
			width := z * math.Sqrt(sum)
			s.Open, s.StdErr = open, open*math.Sqrt(sum)
			s.Low, s.High = open*math.Exp(-width), min(1, open*math.Exp(width))
		}
		high = s.High
		c.Steps = append(c.Steps, s)
	}
	return c
}

// An Estimate is a time with its 95 % interval. A bound that the observations do not
// reach is a lower bound of itself: "more than".
type Estimate struct {
	Value   time.Duration `json:"value"` // the longest observation if not Reached
	Reached bool          `json:"reached"`
	Low     time.Duration `json:"low"`
	High    time.Duration `json:"high"` // the longest observation if not Bounded
	Bounded bool          `json:"bounded"`
}

// Quantile is the first time by which at least the share p, between 0 and 1, has
// ended. The interval is the times at which that of the curve holds 1-p.
// Source: R. Brookmeyer and J. Crowley, 1982.
func (c Curve) Quantile(p float64) Estimate {
	// The curve is a product of ratios: a share that is exactly 1-p may come out a
	// few units of the last place above it.
	const slack = 1e-12
	first := func(of func(Step) float64) (time.Duration, bool) {
		for _, s := range c.Steps {
			if of(s) <= 1-p+slack {
				return s.At, true
			}
		}
		return c.Longest, false
	}
	var e Estimate
	e.Value, e.Reached = first(func(s Step) float64 { return s.Open })
	e.High, e.Bounded = first(func(s Step) float64 { return s.High })
	e.Low, _ = first(func(s Step) float64 { return s.Low })
	return e
}

// Mean is the restricted mean: the time that an incident is open within its first
// horizon, on average, which is the area under the curve. A horizon beyond the
// longest observation is cut to it, for nothing is known there, unless none is open
// by then. It returns the horizon used. The interval is the normal one of Greenwood's
// variance. Source: J. P. Klein and M. L. Moeschberger, Survival Analysis, section 4.5.
func (c Curve) Mean(horizon time.Duration) (Estimate, time.Duration) {
	if c.N == 0 {
		return Estimate{}, 0
	}
	over := len(c.Steps) > 0 && c.Steps[len(c.Steps)-1].Open == 0 // none is left open
	if horizon <= 0 || (horizon > c.Longest && !over) {
		horizon = c.Longest
	}
	end := float64(horizon)
	// From the right, so that each step knows the area that lies beyond it.
	area, variance := 0.0, 0.0
	for i := len(c.Steps) - 1; i >= 0; i-- {
		s := c.Steps[i]
		if float64(s.At) >= end {
			continue
		}
		area += s.Open * (end - float64(s.At))
		end = float64(s.At)
		if left := s.AtRisk - s.Ended; left > 0 {
			variance += area * area * float64(s.Ended) / (float64(s.AtRisk) * float64(left))
		}
	}
	area += end // nothing has ended before the first step
	half := z * math.Sqrt(variance)
	return Estimate{
		Value: time.Duration(math.Round(area)), Reached: c.Ended > 0, Bounded: c.Ended > 0,
		Low:  time.Duration(math.Round(max(0, area-half))),
		High: time.Duration(math.Round(min(float64(horizon), area+half))),
	}, horizon
}
