package healthscore

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Cap holds the score down while one signal is past a bound, however well
// everything else works.
type Cap struct {
	Signal string
	Above  bool // past means above Bound, otherwise below
	Bound  float64
	Max    float64 // highest score while past
	Text   string
}

// A Model says how signals become a score. The weights sum to at most 100, so
// that a score is never below 0 and its contributors always add up.
type Model struct {
	Signals []Signal
	Caps    []Cap
	Enter   float64       // at or below this for Dwell the node is degraded
	Leave   float64       // at or above this for Dwell it is healthy again
	Dwell   time.Duration // how long before the state changes
}

// TokenLeeway is how far a node's clock may be off, in seconds, before signed
// tokens of others look expired or not yet valid.
const TokenLeeway = 30

// DefaultModel is the model of a node with edgecore, or of one that runs a plain
// service.
func DefaultModel(edgecore bool) Model {
	m := Model{Enter: 60, Leave: 75, Dwell: 10 * time.Second}
	if edgecore {
		m.Signals = append(edgecoreSignals(), hostSignals(4, 3, 2, 2)...)
		m.Caps = append(m.Caps, Cap{Signal: LedgerWritable, Bound: 0.5, Max: 20, Text: "the ledger is not writable"})
	} else {
		m.Signals = append([]Signal{
			yes(JourneySuccess, 50, 3*time.Minute, false, "a journey fails"),
		}, hostSignals(20, 15, 10, 5)...)
	}
	m.Caps = append(
		m.Caps,
		Cap{Signal: DiskUsedRatio, Above: true, Bound: 0.95, Max: 40, Text: "the disk is more than 95 % full"},
		Cap{Signal: BatteryRatio, Bound: 0.10, Max: 50, Text: "the battery is below 10 %"},
		Cap{Signal: ClockSkewSeconds, Above: true, Bound: TokenLeeway, Max: 60, Text: "the clock is further off than tokens allow"},
	)
	return m
}

func edgecoreSignals() []Signal {
	const age = time.Minute
	return []Signal{
		yes(JourneySuccess, 45, 3*time.Minute, true, "a revenue journey fails"),
		yes(EdgecoreUp, 15, age, true, "edgecore does not answer"),
		{
			Name: PaymentErrorRatio, Weight: 15, Curve: []Point{{0, 0}, {0.01, 0.1}, {0.05, 0.5}, {0.2, 1}},
			Smooth: 30 * time.Second, MaxAge: age, Text: "{} of payments fail", Unit: "ratio",
		},
		{
			Name: SettlementOldest, Weight: 5, Curve: []Point{{300, 0}, {3600, 0.5}, {86_400, 1}},
			MaxAge: age, Text: "the oldest sale has waited {} for settlement", Unit: "seconds",
		},
		yes(RelayUp, 5, age, false, "the relay takes no connections"),
		{
			Name: CacheCorrupt, Weight: 4, Curve: []Point{{0, 0}, {1, 0.5}, {10, 1}},
			MaxAge: age, Text: "{} cache objects are corrupt",
		},
		{Name: LedgerWritable, MaxAge: age, Text: "the ledger is not writable"},
	}
}

// hostSignals are the machine's own, with their weights.
func hostSignals(disk, memory, cpu, clock float64) []Signal {
	const age = time.Minute
	return []Signal{
		{
			Name: DiskUsedRatio, Weight: disk, Curve: []Point{{0.80, 0}, {0.95, 1}},
			MaxAge: age, Text: "the disk is {} full", Unit: "ratio",
		},
		{
			Name: MemoryUsedRatio, Weight: memory, Curve: []Point{{0.80, 0}, {0.97, 1}},
			Smooth: 30 * time.Second, MaxAge: age, Text: "{} of memory is used", Unit: "ratio",
		},
		{
			Name: CPUBusyRatio, Weight: cpu, Curve: []Point{{0.85, 0}, {1, 1}},
			Smooth: time.Minute, MaxAge: age, Text: "the processors are {} busy", Unit: "ratio",
		},
		{
			Name: ClockSkewSeconds, Weight: clock, Curve: []Point{{5, 0}, {TokenLeeway, 1}},
			MaxAge: 15 * time.Minute, Text: "the clock is {} off", Unit: "seconds",
		},
		{Name: BatteryRatio, MaxAge: 5 * time.Minute, Text: "the battery is at {}", Unit: "ratio"},
	}
}

// yes is a signal that is 1 when all is well.
func yes(name string, weight float64, age time.Duration, essential bool, text string) Signal {
	return Signal{Name: name, Weight: weight, Curve: []Point{{0, 1}, {1, 0}}, MaxAge: age, Essential: essential, Text: text}
}

// Require returns the model with the named signals essential as well.
func (m Model) Require(names ...string) Model {
	m.Signals = slices.Clone(m.Signals)
	for i := range m.Signals {
		if slices.Contains(names, m.Signals[i].Name) {
			m.Signals[i].Essential = true
		}
	}
	return m
}

// Validate reports everything that keeps the model from making scores which
// explain themselves.
func (m Model) Validate() error {
	var errs []error
	sum, names := 0.0, map[string]bool{}
	for _, s := range m.Signals {
		errs = append(errs, s.validate())
		if names[s.Name] {
			errs = append(errs, fmt.Errorf("signal %s is listed twice", s.Name))
		}
		names[s.Name] = true
		sum += s.Weight
	}
	if len(m.Signals) == 0 || sum > 100 {
		errs = append(errs, fmt.Errorf("the weights of %d signals sum to %v; allowed: up to 100", len(m.Signals), sum))
	}
	for _, c := range m.Caps {
		if !names[c.Signal] || c.Text == "" || !(c.Max >= 0 && c.Max <= 100) {
			errs = append(errs, fmt.Errorf("cap on %q needs a signal of the model, a text and a maximum of 0 to 100", c.Signal))
		}
	}
	if !(m.Enter >= 0 && m.Enter < m.Leave && m.Leave <= 100) || m.Dwell < 0 {
		errs = append(errs, fmt.Errorf("a node must leave (%v) above where it enters (%v), within 0 to 100, with a dwell of 0 or more", m.Leave, m.Enter))
	}
	return errors.Join(errs...)
}

func (s Signal) validate() error {
	if s.Name == "" || s.Text == "" || s.MaxAge <= 0 || s.Smooth < 0 || !(s.Weight >= 0 && s.Weight <= 100) {
		return fmt.Errorf("signal %q needs a name, a text, a maximum age and a weight of 0 to 100", s.Name)
	}
	for i, p := range s.Curve {
		if !(p.Share >= 0 && p.Share <= 1) || (i > 0 && p.At <= s.Curve[i-1].At) {
			return fmt.Errorf("curve of %s must rise in value and stay within shares of 0 to 1", s.Name)
		}
	}
	if s.Weight > 0 && len(s.Curve) < 2 {
		return fmt.Errorf("signal %s has a weight but no curve", s.Name)
	}
	return nil
}
