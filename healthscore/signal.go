package healthscore

import (
	"math"
	"time"
)

// The signals the models know. Ratios run from 0 to 1, yes and no are 1 and 0.
const (
	JourneySuccess    = "journey_success"           // 1 when every revenue journey passed last
	PaymentErrorRatio = "payment_error_ratio"       // of the last minutes' payments, those that we failed
	SettlementOldest  = "settlement_oldest_seconds" // age of the oldest sale the hub does not have
	CacheCorrupt      = "cache_corrupt_objects"     // found and not yet repaired
	LedgerWritable    = "ledger_writable"           // 1 when a payment can be recorded
	EdgecoreUp        = "edgecore_up"               // 1 when edgecore answers its scrape
	CPUBusyRatio      = "cpu_busy_ratio"
	MemoryUsedRatio   = "memory_used_ratio"
	DiskUsedRatio     = "disk_used_ratio" // fullest file system that we write to
	RelayUp           = "relay_up"        // 1 when the audience relay takes connections
	ClockSkewSeconds  = "clock_skew_seconds"
	BatteryRatio      = "battery_ratio" // charge; absent on mains
)

// A Reading is the last value of one signal. The zero Reading is unknown.
type Reading struct {
	Value  float64
	Known  bool
	At     time.Time // when it was measured
	Detail string    // what is wrong, when the source can say: "journey revenue-path fails at step pay"
}

// usable reports whether the reading tells something about now.
func (r Reading) usable(now time.Time, maxAge time.Duration) bool {
	return r.Known && !math.IsNaN(r.Value) && !math.IsInf(r.Value, 0) && now.Sub(r.At) <= maxAge
}

// A Point of a curve: at signal value At the penalty is Share of the weight.
type Point struct {
	At    float64
	Share float64 // 0 to 1
}

// A Signal is how much one signal can cost and how.
type Signal struct {
	Name   string
	Weight float64 // points lost at full penalty
	// Curve gives the penalty by value, linear between its points and flat beyond
	// the ends; At rises strictly.
	Curve []Point
	// Smooth is the time constant of the exponential smoothing, 0 for none.
	Smooth time.Duration
	// MaxAge is how old a reading may be and still tell something about now.
	MaxAge time.Duration
	// Essential signals must be known for there to be a score.
	Essential bool
	// Text says what is wrong in words, with the value for "{}".
	Text string
	// Unit is how the value is written: "ratio" as percent, "seconds", or "" for
	// a plain number.
	Unit string
}

// share interpolates the curve at v.
func (s Signal) share(v float64) float64 {
	c := s.Curve
	if len(c) == 0 || v <= c[0].At {
		if len(c) == 0 {
			return 0
		}
		return c[0].Share
	}
	for i := 1; i < len(c); i++ {
		if v <= c[i].At {
			f := (v - c[i-1].At) / (c[i].At - c[i-1].At)
			return c[i-1].Share + f*(c[i].Share-c[i-1].Share)
		}
	}
	return c[len(c)-1].Share
}
