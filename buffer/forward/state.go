package forward

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

// Results of sending a block, the keys of [Status].Blocks.
const (
	ResultAcked     = "acked"     // the fleet holds it now
	ResultDuplicate = "duplicate" // the fleet held it already
	ResultRejected  = "rejected"  // the fleet never will: a declared loss
	ResultFailed    = "failed"    // not known; it will be sent again
)

// Reasons of losses that the fleet's answer declares.
const (
	LostConflict = "conflict" // the fleet holds another block of that number: a cloned data folder
	LostRefused  = "refused"  // the fleet will never take it
)

// Modes of the way to the fleet.
const (
	ModeStream = "stream" // one stream that stays open
	ModePost   = "post"   // a request for each block: the network lets no stream through
)

// Kinds of what is sent, the keys of [Status].Sent.
const (
	SentBlocks  = "blocks"
	SentReports = "reports" // heartbeats that say something
	SentBeats   = "beats"   // those that say nothing, whether or not they want an answer
)

// A Sum counts what was sent.
type Sum struct {
	Count int64
	Bytes int64 // without headers of packets
}

// A Status is what is known of the way to the fleet.
type Status struct {
	Up        bool
	Since     time.Time // of the last change of Up, or of the start
	LastError string    // of the last attempt that failed, kept while up
	Mode      string    // ModeStream or ModePost while up; the last one while down
	Streams   int64     // streams that the fleet greeted
	// BadCalendars counts calendars of the fleet that could not be read.
	BadCalendars int64
	Rate         float64 // bytes a second that the uplink was last measured to carry; 0: not known
	// Blocks counts answers by lane and result, Sent what was sent by kind.
	Blocks map[buffer.Lane]map[string]int64
	Sent   map[string]Sum
	// ClockOffset is the fleet's clock less the node's, to within half a round
	// trip; it is known once the fleet has answered.
	ClockOffset time.Duration
	ClockKnown  bool
	// Bandwidth is nil where nothing bounds it.
	Bandwidth *wire.Bandwidth
}

// Status returns a copy of what is known now.
func (f *Forwarder) Status() Status {
	s := f.state.copy()
	s.ClockOffset, s.ClockKnown = f.clock.offset()
	s.Bandwidth = f.budget.report(time.Now())
	return s
}

// state is the status under a lock.
type state struct {
	mu     sync.Mutex // guards what follows
	status Status
	told   bool // that the fleet is reachable or is not
}

func newState(now time.Time) *state {
	return &state{status: Status{Since: now, Blocks: map[buffer.Lane]map[string]int64{}, Sent: map[string]Sum{}}}
}

func (s *state) copy() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	out.Sent = maps.Clone(s.status.Sent)
	out.Blocks = make(map[buffer.Lane]map[string]int64, len(s.status.Blocks))
	for lane, results := range s.status.Blocks {
		out.Blocks[lane] = maps.Clone(results)
	}
	return out
}

func (s *state) count(lane buffer.Lane, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Blocks[lane] == nil {
		s.status.Blocks[lane] = map[string]int64{}
	}
	s.status.Blocks[lane][result]++
}

func (s *state) sent(kind string, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.status.Sent[kind]
	n.Count++
	n.Bytes += int64(bytes)
	s.status.Sent[kind] = n
}

func (s *state) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.LastError = err.Error()
}

func (s *state) measured(rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Rate = rate
}

// badCalendar counts a calendar that could not be read.
func (s *state) badCalendar(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.BadCalendars++
	s.status.LastError = err.Error()
}

// greeted counts a stream.
func (s *state) greeted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Streams++
}

// change sets whether the fleet can be reached, and how, and reports whether that
// is news.
func (s *state) change(up bool, mode string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := !s.told || s.status.Up != up || up && s.status.Mode != mode
	if up {
		s.status.Mode = mode
	}
	s.told = true
	if s.status.Up != up {
		s.status.Up, s.status.Since = up, now
	}
	return news
}

// reached notes that the fleet answers, and says so if it did not before.
func (f *Forwarder) reached(mode string, now time.Time) {
	if f.state.change(true, mode, now) {
		f.o.Log.Info("fleet is reachable", slog.String("url", f.base), slog.String("mode", mode))
	}
}

// unreached notes that the fleet does not answer, and says so if it did before.
func (f *Forwarder) unreached(err error, now time.Time) {
	f.state.failed(err)
	if f.state.change(false, "", now) {
		f.o.Log.Warn("fleet is unreachable; the buffer keeps what happens meanwhile", slog.String("url", f.base), slog.Any("error", err))
	}
}
