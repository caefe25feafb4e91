package uplink

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind names a fault.
type Kind string

// The faults.
const (
	Cut       Kind = "cut"       // resets every connection, established or new
	Delay     Kind = "delay"     // every byte arrives Delay later, in each direction
	Throttle  Kind = "throttle"  // at most BytesPerSecond in each direction of a connection
	HalfOpen  Kind = "half-open" // connections are accepted and stay, their bytes go nowhere, neither end learns that the other closed; those that lost bytes are reset when the fault goes
	Duplicate Kind = "duplicate" // every Every-th request reaches the backend twice, the client sees the second answer; streams lose parts of their answer, see stream.go
	Reorder   Kind = "reorder"   // every Every-th request is held until a later one has been answered, at most Hold; streams as with Duplicate
)

// Kinds lists all faults.
func Kinds() []Kind { return []Kind{Cut, Delay, Throttle, HalfOpen, Duplicate, Reorder} }

// Limits of what a fault may ask for.
const (
	MaxDelay = time.Minute
	MaxEvery = 1000
)

// A Fault is one thing wrong with an uplink. Only the parameter of its kind is
// read.
type Fault struct {
	Kind   Kind
	Routes []string      // empty: all
	For    time.Duration // 0: until taken off

	Delay          time.Duration // Delay: above 0, at most MaxDelay
	BytesPerSecond int64         // Throttle: at least 1
	Every          int           // Duplicate, Reorder: 1 to MaxEvery; 0 is 1, every request
	Hold           time.Duration // Reorder: above 0, at most MaxDelay
}

// Validate reports an unknown kind or a parameter out of range.
func (f Fault) Validate() error {
	if !slices.Contains(Kinds(), f.Kind) {
		names := make([]string, 0, len(Kinds()))
		for _, k := range Kinds() {
			names = append(names, string(k))
		}
		return fmt.Errorf("uplink: fault %q is unknown; allowed: %s", f.Kind, strings.Join(names, ", "))
	}
	if f.For < 0 {
		return fmt.Errorf("uplink: %s for %v: must not be negative", f.Kind, f.For)
	}
	switch f.Kind {
	case Delay:
		if f.Delay <= 0 || f.Delay > MaxDelay {
			return fmt.Errorf("uplink: delay of %v is out of range: above 0, at most %v", f.Delay, MaxDelay)
		}
	case Throttle:
		if f.BytesPerSecond < 1 {
			return fmt.Errorf("uplink: throttle to %d bytes a second: at least 1", f.BytesPerSecond)
		}
	case Reorder:
		if f.Hold <= 0 || f.Hold > MaxDelay {
			return fmt.Errorf("uplink: reorder holds %v: above 0, at most %v", f.Hold, MaxDelay)
		}
	}
	if f.Every < 0 || f.Every > MaxEvery {
		return fmt.Errorf("uplink: every %d-th request is out of range: 1 to %d", f.Every, MaxEvery)
	}
	return nil
}

// line is the sum of the faults that work on connections.
type line struct {
	cut, swallow bool
	delay        time.Duration
	rate         int64 // bytes a second; 0 is unlimited
}

// faults is the set in force on one route.
type faults struct {
	mu       sync.Mutex // guards what follows
	active   map[int]Fault
	next     int
	sum      line
	requests map[Kind]int  // requests seen by Duplicate and Reorder, for Every
	answers  int           // parts of streams' answers seen by them
	changed  chan struct{} // closed and replaced at each change
}

func newFaults() *faults {
	return &faults{active: map[int]Fault{}, requests: map[Kind]int{}, changed: make(chan struct{})}
}

func (s *faults) set(f Fault) (clear func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.next
	s.next++
	s.active[id] = f
	s.update()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.active[id]; ok {
			delete(s.active, id)
			s.update()
		}
	}
}

// update is called with mu held.
func (s *faults) update() {
	s.sum = line{}
	for _, f := range s.active {
		switch f.Kind {
		case Cut:
			s.sum.cut = true
		case HalfOpen:
			s.sum.swallow = true
		case Delay:
			s.sum.delay += f.Delay
		case Throttle:
			if s.sum.rate == 0 || f.BytesPerSecond < s.sum.rate {
				s.sum.rate = f.BytesPerSecond
			}
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// line is what is in force now, and a channel that closes when that changes.
func (s *faults) line() (line, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum, s.changed
}

// request reports whether a fault of the kind takes this request, and which.
func (s *faults) request(kind Kind) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.active {
		if f.Kind != kind {
			continue
		}
		s.requests[kind]++
		return f, s.requests[kind]%max(f.Every, 1) == 0
	}
	return Fault{}, false
}

// losesAnswer reports whether a fault of requests takes this part of a stream's
// answer.
func (s *faults) losesAnswer() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.active {
		if f.Kind == Duplicate || f.Kind == Reorder {
			s.answers++
			return s.answers%max(f.Every, 2) == 0
		}
	}
	return false
}

func (s *faults) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.active)
	s.update()
}
