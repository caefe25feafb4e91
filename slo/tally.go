package slo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Evidence is what the revenue journey says about the venue at one look.
type Evidence uint8

// The evidence: a journey that has not run lately proves nothing.
const (
	NoEvidence Evidence = iota
	JourneyPassing
	JourneyFailing
)

// A Look is one moment at which the node looks at an objective's source.
type Look struct {
	Wall    time.Time     // the node's clock
	Elapsed time.Duration // of a clock nobody can set, from any fixed start in this process
	// SourceSeen says that the source is being watched: for journeys that their
	// schedule runs, for outcomes that they were read to the end of the ledger.
	SourceSeen bool
	// Unread is, for outcomes, how long ago the ledger was read to its end: of what
	// happened since nothing is known yet.
	Unread  time.Duration
	Journey Evidence
}

// An Emission is what one look has to tell. Buckets and State must be stored in
// one transaction, together with the cursor of the source; then the caller calls
// [Tally.Commit], or [Tally.Rollback] when storing failed.
type Emission struct {
	Buckets []Bucket          // by minute
	State   map[string][]byte // nil deletes the key
}

// Empty reports whether there is nothing to store.
func (e Emission) Empty() bool { return len(e.Buckets) == 0 && len(e.State) == 0 }

// A Tally makes the SLI buckets of one objective on one node. It counts events
// by their own time, revises the open minute as ten seconds end in which more than the
// time it was watched changed, and at once, if only once in them, when something went
// wrong; it closes minutes as they pass, and revises closed ones when events come late.
//
// A journey nobody ran, or a counter nobody read, leaves a gap: minutes without any
// watching become [Gap] buckets. Outcomes have no gap: edgecore kept them, so a minute stays open until
// the ledger was read past its end and is then measured.
//
// Counts of outcomes are kept for good, an hour to a key (some 2 MB a year), so
// that an outcome is counted into its minute no matter how late it comes; memory
// holds the hours within Horizon only. It does no I/O but Load and starts no
// goroutine. It is not safe for concurrent use.
type Tally struct {
	o    Objective
	opts TallyOptions

	head   head
	saved  head
	hours  map[int64]map[int64]cell // committed cells by hour and minute
	staged map[int64]cell           // changed since the last commit, by minute

	last        Look
	looked      bool   // last is set
	slot        int64  // number of the ten seconds of the last look
	toldMinute  int64  // the minute that was last told while it was open
	toldCell    cell   // what was told of it
	told        bool   // the two before are set
	worseIn     int64  // number of the ten seconds in which bad news was last told
	owed        int64  // minute whose last changes are stored but not told
	owes        bool   // owed is set
	skipped     bool   // the last emission left out the open minute's changes
	counted     bool   // events were observed since the last commit
	outstanding bool   // an emission awaits Commit or Rollback
	attempts    uint32 // emissions that were not stored, as far as we know: no revision is used twice
}

// ErrState means that stored state is not what a tally of this version wrote.
var ErrState = errors.New("tally state is malformed")

// NewTally returns the tally of o, continuing what was stored before.
func NewTally(o Objective, opts TallyOptions) (*Tally, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("tally: %w", err)
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if opts.Load == nil {
		opts.Load = func(string) ([]byte, error) { return nil, nil }
	}
	t := &Tally{o: o, opts: opts, hours: map[int64]map[int64]cell{}, staged: map[int64]cell{}}
	raw, err := opts.Load(headKey(o.Hash))
	if err != nil {
		return nil, fmt.Errorf("tally of %s: %w", o.Name, err)
	}
	if raw != nil {
		if t.head, err = decodeHead(raw); err != nil {
			return nil, fmt.Errorf("tally of %s: %w", o.Name, err)
		}
	}
	t.saved = t.head
	t.owed, t.owes = t.head.current, t.head.started // its last changes may not have been told
	return t, nil
}

// Objective is what the tally counts for.
func (t *Tally) Objective() Objective { return t.o }

// Observe counts one event into the minute of its own time. After an error
// nothing was counted: the stored counts of that hour could not be read.
func (t *Tally) Observe(at time.Time, good bool) error {
	n := Counts{Total: 1}
	if good {
		n.Good = 1
	}
	return t.Add(MinuteOf(at), n)
}

// ErrCounts means that events cannot be counted: they are negative, more good than
// there are, or more than a minute can hold.
var ErrCounts = errors.New("these counts cannot be true")

// Add counts events of one minute. After an error nothing was counted: it is
// [ErrCounts], or the stored counts of that hour could not be read.
func (t *Tally) Add(minute int64, n Counts) error {
	if n.Good < 0 || n.Total < n.Good || n.Total > MaxCount {
		return fmt.Errorf("tally of %s: %w: good %d, total %d", t.o.Name, ErrCounts, n.Good, n.Total)
	}
	c, err := t.cell(minute)
	if err != nil {
		return err
	}
	if c.total > MaxCount-n.Total {
		return fmt.Errorf("tally of %s: %w: minute %d already has %d events and %d come", t.o.Name, ErrCounts, minute, c.total, n.Total)
	}
	c.good, c.total = c.good+n.Good, c.total+n.Total
	t.stage(minute, c)
	t.counted = true
	return nil
}

// Tick takes one look and returns what is to be stored because of it and of the
// events observed since the last.
func (t *Tally) Tick(l Look) (Emission, error) {
	if t.outstanding {
		t.attempts++
		t.outstanding, t.told = false, false
	}
	now := MinuteOf(l.Wall)
	t.checkClock(l, now)
	t.reach()
	if err := t.settle(); err != nil {
		return Emission{}, err
	}
	if err := t.watch(l); err != nil {
		return Emission{}, err
	}
	if err := t.prove(l, now); err != nil {
		return Emission{}, err
	}
	if err := t.pass(l, now); err != nil {
		return Emission{}, err
	}
	t.last, t.looked = l, true
	return t.emit(l, now), nil
}

// clockSlack is how far wall and elapsed time may drift apart between two looks
// before the clock counts as set.
const clockSlack = 2 * time.Second

// checkClock starts the tally's life, and a new epoch when the clock was set.
func (t *Tally) checkClock(l Look, now int64) {
	wall := l.Wall.UnixMilli()
	switch {
	case !t.head.started:
		t.head = head{started: true, next: now, current: now, epoch: 1}
		t.saved.next = now
	case t.looked:
		drift := l.Wall.Round(0).Sub(t.last.Wall.Round(0)) - (l.Elapsed - t.last.Elapsed)
		if drift.Abs() > clockSlack {
			t.head.epoch++
			t.looked = false
		}
	case wall < t.head.wallMS-clockSlack.Milliseconds():
		t.head.epoch++ // set back while nobody ran
	}
	t.hold(now)
	t.head.wallMS = wall
	if now < t.head.current {
		t.head.next = min(t.head.next, now) // these minutes come again
	}
	t.head.current = now
}

// reach goes back to outcomes of minutes that were never told. They are from before the
// tally's life, and their ledger tells of all minutes since: these are closed, too.
func (t *Tally) reach() {
	if !t.o.Indicator.durable() {
		return
	}
	for m, c := range t.staged {
		if c.revision == 0 && c.total > 0 {
			t.head.next = min(t.head.next, m)
		}
	}
}

// settle takes up the minute that was changed but not told.
func (t *Tally) settle() error {
	if !t.owes {
		return nil
	}
	c, err := t.cell(t.owed)
	if err != nil {
		return err
	}
	t.stage(t.owed, c)
	t.owes = false
	return nil
}

// watch credits the time since the last look to the minutes it spans.
func (t *Tally) watch(l Look) error {
	if !t.looked || !l.SourceSeen || !t.last.SourceSeen || l.Elapsed-t.last.Elapsed > t.opts.Lapse {
		return nil
	}
	from, to := t.last.Wall.UnixMilli(), l.Wall.UnixMilli()
	for from < to {
		m := MinuteOf(time.UnixMilli(from))
		end := min(to, (m+1)*60_000)
		c, err := t.cell(m)
		if err != nil {
			return err
		}
		if was := c.watchedMS; was < 60_000 {
			c.watchedMS = uint16(min(60_000, int64(was)+end-from))
			t.stage(m, c)
		}
		from = end
	}
	return nil
}

// prove notes what the journey says in the current minute.
func (t *Tally) prove(l Look, now int64) error {
	if l.Journey == NoEvidence {
		return nil
	}
	c, err := t.cell(now)
	if err != nil {
		return err
	}
	was := c
	c.failing = c.failing || l.Journey == JourneyFailing
	c.passing = c.passing || l.Journey == JourneyPassing
	if c != was {
		t.stage(now, c)
	}
	return nil
}

// pass closes the minutes that have ended and whose events are all known.
func (t *Tally) pass(l Look, now int64) error {
	if t.o.Indicator.durable() && !l.SourceSeen {
		return nil
	}
	if len(t.staged) > t.opts.Batch+60 {
		return nil // what could not be stored yet must not pile up
	}
	from := max(t.head.next, now-int64(t.opts.Absence/time.Minute))
	known := now
	if t.o.Indicator.durable() {
		known = min(now, MinuteOf(l.Wall.Add(-l.Unread)))
	}
	to := max(from, min(known-t.lag(), from+int64(t.opts.Batch)))
	for m := from; m < to; m++ {
		c, err := t.cell(m)
		if err != nil {
			return err
		}
		if c.revision == 0 || c.open {
			t.stage(m, c)
		}
	}
	t.head.next = to
	return nil
}

// lag is [TallyOptions.Lag] in minutes, begun ones whole.
func (t *Tally) lag() int64 { return int64((t.opts.Lag + time.Minute - 1) / time.Minute) }

// emit tells every staged minute that is due, and hands out the state when
// something must be stored.
func (t *Tally) emit(l Look, now int64) Emission {
	_, fresh := t.staged[now]
	slot := l.Wall.UnixMilli() / max(1, t.opts.Revise.Milliseconds())
	news, worse := t.news(now)
	tellOpen := fresh && (!t.told || news && slot != t.slot || worse && slot != t.worseIn)
	t.slot = slot
	var e Emission
	for _, m := range slices.Sorted(maps.Keys(t.staged)) {
		if m == now && !tellOpen {
			t.untell(m)
			continue
		}
		e.Buckets = append(e.Buckets, t.tell(m))
	}
	if len(e.Buckets) == 0 && !t.counted && t.saved.started {
		return Emission{}
	}
	if tellOpen {
		t.toldMinute, t.toldCell, t.told = now, t.staged[now], true
		if worse {
			t.worseIn = slot
		}
	}
	t.outstanding, t.skipped = true, fresh && !tellOpen
	t.state(&e)
	return e
}

// news reports whether there is more to tell of the open minute than that it was
// watched for longer, which is told when it closes, and whether something went wrong.
func (t *Tally) news(now int64) (news, worse bool) {
	c, was := t.staged[now], cell{}
	if t.told && t.toldMinute == now {
		was = t.toldCell
	}
	worse = c.total-c.good > was.total-was.good || c.failing && !was.failing
	first := t.toldMinute != now || was.epoch != t.head.epoch
	return first || worse || c.good != was.good || c.total != was.total || c.passing != was.passing, worse
}

// untell undoes what an emission that was not stored noted as told, so that the
// minute is told again when it closes.
func (t *Tally) untell(m int64) {
	c, was := t.staged[m], t.committed(m)
	c.revision, c.epoch, c.gap, c.open = was.revision, was.epoch, was.gap, true
	t.staged[m] = c
}

// tell makes the bucket of a staged minute.
func (t *Tally) tell(m int64) Bucket {
	c := t.staged[m]
	c.revision = t.revision(m) + 1 + t.attempts
	t.head.told = max(t.head.told, c.revision)
	c.epoch = t.head.epoch
	c.open = m >= t.head.next
	// That its journey passes says that a journey ran, but not what a counter did.
	ran := c.failing || c.passing && t.o.Indicator.Journey != nil
	c.gap = !c.open && !t.o.Indicator.durable() && c.total == 0 && c.watchedMS == 0 && !ran
	t.staged[m] = c
	return c.bucket(t.o, m)
}

// Commit notes that the last emission is stored. Call it before the next
// Observe.
func (t *Tally) Commit() {
	for m, c := range t.staged {
		h := t.hours[hourOf(m)]
		if h == nil {
			h = map[int64]cell{}
			t.hours[hourOf(m)] = h
		}
		h[m] = c
	}
	if t.skipped {
		t.owed, t.owes = t.head.current, true
	}
	clear(t.staged)
	t.saved = t.head
	t.counted, t.outstanding = false, false
	t.evict()
}

// Rollback takes back every event observed since the last commit: the source
// will be read again from the cursor that did not move. What was watched stays.
func (t *Tally) Rollback() {
	for m, c := range t.staged {
		was := t.committed(m)
		c.good, c.total = was.good, was.total
		c.revision, c.epoch, c.open, c.gap = was.revision, was.epoch, was.open, was.gap
		t.staged[m] = c
	}
	t.head.next = min(t.head.next, t.saved.next)
	t.counted, t.outstanding, t.told = false, false, false
	t.attempts++
}

// Buckets returns what is known of the minutes from to before to, as the centre
// would know it once everything observed so far was told.
func (t *Tally) Buckets(from, to int64) ([]Bucket, error) {
	var out []Bucket
	for m := from; m < to; m++ {
		c, err := t.cell(m)
		if err != nil {
			return nil, err
		}
		if c == (cell{}) {
			continue
		}
		c.open = m >= t.head.next
		c.revision = max(1, c.revision)
		out = append(out, c.bucket(t.o, m))
	}
	return out, nil
}
