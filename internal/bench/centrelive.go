package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// lived is what the minutes of a fleet took.
type lived struct {
	Open    time.Duration `json:"open"`    // processor time until all windows stood
	Scopes  int           `json:"scopes"`  // objectives in places of many nodes that are watched
	Told    time.Duration `json:"told"`    // a minute's buckets, accepted, durable and in the windows: mean
	Judged  time.Duration `json:"judged"`  // a minute's steps of all alerts: mean
	Worst   time.Duration `json:"worst"`   // both, in the worst minute
	Minutes int           `json:"minutes"` // that the means are of
	Peak    int64         `json:"peak"`    // memory, bytes
}

func (l lived) minute() time.Duration { return l.Told + l.Judged }

// stepEvery is how often the alerts of the centre are judged.
const stepEvery = 10 * time.Second

// settleMinutes are lived through before anything is measured.
const settleMinutes = 3

// openWatched opens the rooms with their alerts, as the centre does at its start, and
// loads all windows.
func openWatched(ctx context.Context, o centreOrder) (*rooms, error) {
	r, err := openRooms(ctx, o, centreBegin)
	if err != nil {
		return nil, err
	}
	r.burn, err = burn.New(ctx, burn.Options{Store: r.store, Ledger: r.ledger, Now: r.now, Every: stepEvery, Log: slog.New(slog.DiscardHandler)})
	for range 2 { // the first loads the windows, the second moves them on
		if err == nil {
			err = r.judge(ctx)
		}
	}
	if err != nil {
		return nil, firstOf(err, r.store.Close())
	}
	return r, nil
}

// judge is what the centre does between two steps.
func (r *rooms) judge(ctx context.Context) error {
	if err := r.burn.Step(ctx); err != nil {
		return err
	}
	for _, do := range []func(context.Context) (bool, error){r.burn.Load, r.burn.Review} {
		for more := true; more; {
			var err error
			if more, err = do(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// liveCentre lives through some minutes of the whole fleet.
func liveCentre(ctx context.Context, o centreOrder) (any, error) {
	begin := processTime()
	r, err := openWatched(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.store.Close()
	l := lived{Open: processTime() - begin, Scopes: len(r.burn.Current(ctx))}
	if o.Watches {
		nodes, err := watchNodes(r)
		if err != nil {
			return nil, err
		}
		r.nodes = nodes
		r.ledger.Subscribe(nodes.take)
	}
	first := slo.MinuteOf(centreBegin)
	out := make([]lived, 0, len(o.Revisions))
	for _, revisions := range o.Revisions {
		one, err := r.live(ctx, first, revisions)
		if err != nil {
			return nil, err
		}
		one.Open, one.Scopes, one.Peak = l.Open, l.Scopes, processPeak()
		out = append(out, one)
		first += settleMinutes + int64(o.Minutes)
	}
	return out, nil
}

// live lives through minutes from first on and measures all but the first few.
func (r *rooms) live(ctx context.Context, first int64, revisions int) (l lived, err error) {
	measured := first + settleMinutes
	for m := first; m < measured+int64(r.order.Minutes); m++ {
		told, judged, err := r.minute(ctx, m, revisions)
		if err != nil {
			return l, err
		}
		if m >= measured {
			l.Told, l.Judged, l.Worst, l.Minutes = l.Told+told, l.Judged+judged, max(l.Worst, told+judged), l.Minutes+1
		}
	}
	l.Told /= time.Duration(l.Minutes)
	l.Judged /= time.Duration(l.Minutes)
	return l, nil
}

// minute lives through one: its buckets come, so many times revised, and the alerts are
// judged six times.
func (r *rooms) minute(ctx context.Context, m int64, revisions int) (told, judged time.Duration, err error) {
	steps := int(time.Minute / stepEvery)
	for n := range steps {
		// The last word of a minute comes when it is over.
		r.set(slo.MinuteStart(m + 1).Add(time.Duration(n+1-steps)*stepEvery + 2*time.Second))
		if left := steps - n; left <= revisions {
			used, err := r.tell(ctx, r.sources, m, uint32(revisions-left+1), left > 1)
			if err != nil {
				return 0, 0, err
			}
			told += used
		}
		begin := processTime()
		if err := r.judge(ctx); err != nil {
			return 0, 0, err
		}
		r.nodes.step(r.now())
		judged += processTime() - begin
	}
	return told, judged, nil
}

// nodeWatches are the burn alerts of single nodes, which at a venue each node keeps.
type nodeWatches struct {
	of map[nodePromise]*slo.BurnWatch
}

type nodePromise struct {
	buffer.Source
	objective string
}

func watchNodes(r *rooms) (*nodeWatches, error) {
	w := &nodeWatches{of: map[nodePromise]*slo.BurnWatch{}}
	for i, s := range r.sources {
		for _, o := range r.promise {
			burn, err := slo.NewBurnWatch(s.String(), o, []slo.Span{{Node: s.Node, From: r.firstHour(i) * 60, To: 1 << 40}}, o.Window.Period())
			if err != nil {
				return nil, err
			}
			burn.Step(r.now())
			w.of[nodePromise{s, o.Name}] = burn
		}
	}
	return w, nil
}

func (w *nodeWatches) take(changes []ledger.Change) {
	for _, ch := range changes {
		w.of[nodePromise{ch.Source, ch.Of.Name}].Track.Replace(ch.Minute, ch.Was, ch.Is)
	}
}

func (w *nodeWatches) step(now time.Time) {
	if w == nil {
		return
	}
	for _, burn := range w.of {
		burn.Step(now)
	}
}

// landed is what a backlog did.
type landed struct {
	Buckets int           `json:"buckets"`
	Late    time.Duration `json:"late"`  // until all of it was applied, alone
	Delay   time.Duration `json:"delay"` // the longest that live buckets waited, taking turns with it
	P99     time.Duration `json:"p99"`
	Step    time.Duration `json:"step"` // the longest step of the alerts meanwhile
	Live    int           `json:"live"` // blocks of live buckets meanwhile
	Calm    time.Duration `json:"calm"` // the longest wait of live buckets before
	Peak    int64         `json:"peak"`
}

// lateCentre lets nodes come back that were away for a day, while all others go on.
// One applier takes blocks in turn: at most a group of live ones that wait, then at
// most a group of late ones, each an hour of one node. Time is what applying takes.
func lateCentre(ctx context.Context, o centreOrder) (any, error) {
	r, err := openWatched(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.store.Close()
	a := &applier{rooms: r, live: r.sources[:len(r.sources)-o.Away], nextStep: stepEvery}
	for a.at < calmTime {
		if err := a.turn(ctx, nil); err != nil {
			return nil, err
		}
	}
	done := landed{Calm: slices.Max(a.waits)}
	a.waits, a.step = nil, 0
	for group := range slices.Chunk(r.backlog(), groupBlocks) {
		if err := a.turn(ctx, group); err != nil {
			return nil, err
		}
		done.Buckets += len(group) * 60 * len(r.promise)
	}
	// Those that came while the last of it was applied.
	if err := a.turn(ctx, nil); err != nil {
		return nil, err
	}
	done.Late, done.Step, done.Live, done.Peak = a.late, a.step, len(a.waits), processPeak()
	slices.Sort(a.waits)
	done.Delay, done.P99 = a.waits[len(a.waits)-1], quantile(a.waits, 0.99)
	return done, nil
}

// calmTime is lived through before the backlog comes.
const calmTime = 30 * time.Second

// An applier applies in virtual time.
type applier struct {
	*rooms
	live     []buffer.Source // send a bucket of each objective a minute, one node after the other
	at       time.Duration   // since the begin
	sent     int             // blocks of live nodes taken so far
	late     time.Duration   // spent on late blocks
	waits    []time.Duration // of each live block, until the windows had it
	nextStep time.Duration
	step     time.Duration
}

// arrival is when the nth live block is accepted.
func (a *applier) arrival(n int) time.Duration {
	return time.Duration(float64(n) * float64(time.Minute) / float64(len(a.live)))
}

// turn applies live blocks that wait, then late ones.
func (a *applier) turn(ctx context.Context, late []lateBlock) error {
	if late == nil {
		a.at = max(a.at, a.arrival(a.sent))
	}
	first := a.sent
	for a.sent-first < groupBlocks && a.arrival(a.sent) <= a.at {
		a.sent++
	}
	var list []told
	for n := first; n < a.sent; n++ {
		var err error
		if list, err = a.draw(list, a.live[n%len(a.live):][:1], slo.MinuteOf(centreBegin)+int64(n/len(a.live)), 6, false); err != nil {
			return err
		}
	}
	if _, err := a.timed(ctx, list); err != nil {
		return err
	}
	for n := first; n < a.sent; n++ {
		a.waits = append(a.waits, a.at-a.arrival(n))
	}
	list = list[:0]
	for _, b := range late {
		for m := b.hour * 60; m < b.hour*60+60; m++ {
			var err error
			if list, err = a.draw(list, []buffer.Source{b.source}, m, 6, false); err != nil {
				return err
			}
		}
	}
	took, err := a.timed(ctx, list)
	if a.late += took; err != nil || a.at < a.nextStep {
		return err
	}
	a.nextStep = a.at + stepEvery
	begin := time.Now()
	err = a.judge(ctx)
	took = time.Since(begin)
	a.at, a.step = a.at+took, max(a.step, took)
	return err
}

// timed applies a list, if there is any, and lets time pass.
func (a *applier) timed(ctx context.Context, list []told) (took time.Duration, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	a.set(centreBegin.Add(time.Minute + a.at)) // a minute comes when it is over
	begin := time.Now()
	err = a.apply(ctx, list)
	took = time.Since(begin)
	a.at += took
	return took, err
}

// A lateBlock is an hour of a node that was away.
type lateBlock struct {
	source buffer.Source
	hour   int64
}

// backlog is what waits at the nodes that were away: each sends its newest hour first.
func (r *rooms) backlog() (out []lateBlock) {
	end := centreBegin.Unix() / 3600
	for hour := end - 1; hour >= end-awayHours; hour-- {
		for _, s := range r.sources[len(r.sources)-r.order.Away:] {
			out = append(out, lateBlock{s, hour})
		}
	}
	return out
}
