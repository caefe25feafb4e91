package crowd

import (
	"errors"
	"hash/fnv"
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// A Curve is a venue's load over the evening as a share of the highest rate:
// when the doors open it rises from Low to 1 within Ramp, then it swings between
// 1 and Low with the given Period, as between acts and intervals.
type Curve struct {
	Ramp   time.Duration
	Period time.Duration
	Low    float64 // share of the highest load, above 0 to 1
}

// DefaultCurve suits a show of minutes: a short rush, then a gentle swing.
func DefaultCurve() Curve {
	return Curve{Ramp: 20 * time.Second, Period: 90 * time.Second, Low: 0.5}
}

// Validate reports a curve that cannot be drawn.
func (c Curve) Validate() error {
	if c.Ramp < 0 || c.Period <= 0 || !(c.Low > 0 && c.Low <= 1) {
		return errors.New("crowd: a curve needs a ramp of 0 or more, a period above 0 and a low above 0, at most 1")
	}
	return nil
}

// At is the load after elapsed, Low to 1.
func (c Curve) At(elapsed time.Duration) float64 {
	if elapsed < c.Ramp {
		return c.Low + (1-c.Low)*float64(elapsed)/float64(c.Ramp)
	}
	phase := 2 * math.Pi * float64(elapsed-c.Ramp) / float64(c.Period)
	return c.Low + (1-c.Low)*(1+math.Cos(phase))/2
}

// A Plan is what one attendee wants to do tonight.
type Plan struct {
	Arrive   time.Duration // since the doors opened
	Browse   int           // items looked at before ordering, 0 to 3
	Lines    []Line        // what is ordered, 1 to 3 lines
	Cash     bool          // else by card
	Declined bool          // the card issuer will say no
	Verify   bool          // shows the receipt at the exit
	Refund   bool          // wants the money back
	Relay    bool          // takes part on the relay
	Think    time.Duration // before each step, at pace 1
}

// A Line is one wish: the item at Pick modulo the catalogue's length.
type Line struct {
	Pick     uint32
	Quantity int
}

// Plans is the endless sequence of attendees of one venue, a function of its
// arguments alone. Arrivals are a Poisson process of rate times the curve, by
// thinning (Lewis and Shedler, 1979).
func Plans(seed uint64, venue string, rate float64, curve Curve) iter.Seq[Plan] {
	return func(yield func(Plan) bool) {
		h := fnv.New64a()
		h.Write([]byte(venue))
		arrivals := rand.New(rand.NewPCG(seed, h.Sum64()))
		wishes := rand.New(rand.NewPCG(seed, ^h.Sum64()))
		var at float64 // seconds
		for {
			at += arrivals.ExpFloat64() / rate
			elapsed := time.Duration(at * float64(time.Second))
			if arrivals.Float64() >= curve.At(elapsed) {
				continue
			}
			if !yield(wish(wishes, elapsed)) {
				return
			}
		}
	}
}

func wish(r *rand.Rand, arrive time.Duration) Plan {
	p := Plan{
		Arrive: arrive,
		Browse: r.IntN(4),
		Cash:   r.Float64() < 0.15,
		Verify: r.Float64() < 0.5,
		Refund: r.Float64() < 0.04,
		Relay:  r.Float64() < 0.25,
		Think:  time.Duration((0.1 + 0.4*r.Float64()) * float64(time.Second)),
	}
	p.Declined = r.Float64() < 0.05 && !p.Cash
	for range 1 + r.IntN(3) {
		p.Lines = append(p.Lines, Line{Pick: r.Uint32(), Quantity: 1 + r.IntN(3)})
	}
	return p
}
