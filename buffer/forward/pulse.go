package forward

import (
	"fmt"
	"reflect"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

const (
	// reportEvery is the longest time between two reports, lookEvery how often it is
	// looked whether there is something to report.
	reportEvery = 5 * time.Minute
	lookEvery   = 5 * time.Second
	// clockEvery is how old a reading of the fleet's clock becomes before the next
	// message takes another along.
	clockEvery = time.Minute
	// beatGrace is the part of the silence by which a beat comes later than twice in
	// it: often scrapes are as far apart as that or as the silence itself, and a beat
	// just before each would be waste.
	beatGrace = 30
	// slowest is the fewest bytes a second of an uplink that is not taken for dead:
	// what lies in buffers on the way may take so long before an answer can come.
	slowest = 2 << 10
	// stuckAfter: a fleet that talks but leaves a block unanswered for so long has
	// forgotten it.
	stuckAfter = time.Minute
)

// A pulse says when something must be said and when something should have been
// heard.
type pulse struct {
	began   time.Time // of the attempt
	helloAt time.Time // when Hello had been written; zero: not yet
	greeted time.Time // zero: not yet
	quiet   time.Duration

	said  time.Time // when something was last handed to the writer
	heard time.Time // when something was last read
	moved time.Time // when a piece of something long was last written

	beat     time.Time // that waits for its answer; zero: none
	beatMS   int64
	lastBeat time.Time

	reported time.Time
	looked   time.Time
	told     news
}

// news is what is worth a report when it changes.
type news struct {
	lost, refused int64 // samples, and records lost
	withheld      map[buffer.Lane]string
	// behind: revenue waits that waited when the stream began. That it is all there
	// now is news once, for then the fleet knows what happened meanwhile.
	behind bool
}

func newsOf(h wire.Heartbeat) (n news) {
	for _, l := range h.Lanes {
		n.lost += l.LostTotal()
		for _, records := range l.Records.Lost {
			n.lost += records
		}
		n.refused += l.Refused
	}
	if h.Bandwidth != nil {
		n.withheld = h.Bandwidth.Withheld
	}
	revenue := h.Lanes[buffer.Revenue]
	n.behind = revenue.Waiting > 0 || revenue.Records.Waiting > 0
	return n
}

// after is n as it follows on what was told: what waits only now is not behind.
func (n news) after(told news) news {
	n.behind = n.behind && told.behind
	return n
}

func newPulse(now time.Time, quiet time.Duration) pulse {
	return pulse{began: now, quiet: quiet}
}

// greet notes the fleet's greeting. A node that is silent for so long is dark
// there, so something is said about twice as often: what TCP has taken arrives, and
// a stream that broke is begun again within the other half.
func (p *pulse) greet(now time.Time, silence time.Duration) {
	p.greeted, p.lastBeat = now, now
	if silence > 0 {
		p.quiet = silence/2 + silence/beatGrace
	}
}

func (p *pulse) spoke(now time.Time) { p.said = now }

// wrote notes that all that was handed to the writer is on its way.
func (p *pulse) wrote(now time.Time) {
	if p.helloAt.IsZero() {
		p.helloAt = now
	}
}

// answered returns when the beat was sent that an answer names.
func (p *pulse) answered(sentMS int64) (sent time.Time, ok bool) {
	if p.beat.IsZero() || p.beatMS != sentMS {
		return time.Time{}, false
	}
	sent, p.beat = p.beat, time.Time{}
	return sent, true
}

// hello begins the stream.
func (s *stream) hello(now time.Time) error {
	h := s.info(now, false)
	before := len(s.out)
	var err error
	if s.out, err = wire.AppendJSON(s.out, wire.Hello, h); err != nil {
		return err
	}
	s.pulse.reported, s.pulse.looked, s.pulse.told = now, now, newsOf(h)
	s.add(SentReports, before, now)
	return nil
}

// report adds a report to what is written next.
func (s *stream) report(now time.Time, goodbye bool) error {
	h := s.info(now, goodbye)
	h.Calendar = "" // a stream's fleet knows by its hello and by what it told since
	before := len(s.out)
	var err error
	if s.out, err = wire.AppendJSON(s.out, wire.Report, h); err != nil {
		return err
	}
	s.pulse.reported, s.pulse.told = now, newsOf(h).after(s.pulse.told)
	s.add(SentReports, before, now)
	return nil
}

// fillPulse adds a report if something changed that matters, and what else is to be
// said.
func (s *stream) fillPulse(now time.Time) error {
	p := &s.pulse
	due := now.Sub(p.reported) >= reportEvery
	// Whenever something is sent, something waits: that nothing does is seen when all
	// of it was acknowledged.
	drained := p.told.behind && len(s.unacked) == 0
	if !due && (drained || now.Sub(p.looked) >= lookEvery) {
		p.looked = now
		due = !reflect.DeepEqual(newsOf(s.info(now, false)).after(p.told), p.told)
	}
	if due {
		if err := s.report(now, false); err != nil {
			return err
		}
	}
	s.beat(now)
	return nil
}

// beat adds a sign of life if nothing else is said. It asks for an answer where the
// fleet has been silent for long, too, or the reading of its clock is old.
func (s *stream) beat(now time.Time) {
	p := &s.pulse
	before := len(s.out)
	speaks, lonely := before > 0, len(s.unacked) > 0 || now.Sub(p.heard) >= p.quiet*3/2
	due := !speaks && now.Sub(p.said) >= p.quiet
	switch {
	case !p.beat.IsZero():
	case due && lonely, speaks && now.Sub(p.lastBeat) >= clockEvery:
		p.beat, p.beatMS, p.lastBeat = now, now.UnixMilli(), now
		s.out = wire.AppendBeat(s.out, p.beatMS)
		s.add(SentBeats, before, now)
	case due:
		s.out = wire.AppendSign(s.out)
		s.add(SentBeats, before, now)
	}
}

// overdue is why the stream is given up: an answer is due and nothing moves.
func (s *stream) overdue(now time.Time) error {
	since, due := s.waiting()
	if !due {
		return nil
	}
	patience := s.o.Timeout + s.underway()
	if now.Sub(later(later(since, s.pulse.heard), s.pulse.moved)) >= patience {
		return fmt.Errorf("%w for %s", errNoProgress, patience.Round(time.Second))
	}
	if len(s.unacked) > 0 && now.Sub(s.unacked[0].sent) >= stuckAfter+patience {
		return fmt.Errorf("block %d of lane %s was not acknowledged for %s", s.unacked[0].block.Seq, s.unacked[0].block.Lane, stuckAfter+patience)
	}
	return nil
}

// underway is how long the slowest uplink takes for what may lie in buffers.
func (s *stream) underway() time.Duration {
	var bytes int64
	for i := 0; i < len(s.unacked) && bytes < 2*sendBuffer; i++ {
		bytes += s.unacked[i].size
	}
	return time.Duration(min(bytes, 2*sendBuffer)) * time.Second / slowest
}

// waiting is since when an answer is due.
func (s *stream) waiting() (since time.Time, due bool) {
	if s.pulse.greeted.IsZero() {
		return s.pulse.began, true
	}
	since = s.pulse.beat
	if len(s.unacked) > 0 && (since.IsZero() || s.unacked[0].sent.Before(since)) {
		since = s.unacked[0].sent
	}
	if since.IsZero() && s.writing {
		since = s.pulse.said
	}
	return since, !since.IsZero()
}

// sleep is how long nothing happens unless something is heard.
func (s *stream) sleep(now time.Time) time.Duration {
	next := now.Add(lookEvery)
	earlier := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	p := &s.pulse
	if since, due := s.waiting(); due {
		earlier(later(later(since, p.heard), p.moved).Add(s.o.Timeout + s.underway()))
	}
	earlier(p.said.Add(p.quiet))
	earlier(p.reported.Add(reportEvery))
	earlier(s.lingering)
	if !s.waits.IsZero() {
		earlier(s.waits.Add(healthPatience))
		earlier(s.waits.Add(logPatience))
	}
	earlier(s.diskPause)
	earlier(s.acks.pause)
	earlier(s.held.next())
	earlier(s.budget.wait(s.window.block, now))
	for _, until := range s.paused {
		earlier(until)
	}
	return next.Sub(now)
}
