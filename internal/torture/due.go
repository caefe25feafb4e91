package torture

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"ghostlight/internal/torture/peer"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

const (
	// flap is how far apart the parts of one page, or of one outage, may be.
	flap = 10 * 60_000
	// pageEarly and pageLate are how much before and after a page is due it may come.
	pageEarly, pageLate = 5 * 60_000, 15 * 60_000
)

// A due is what a side's pages of one promise are held against.
type due struct {
	pages   []peer.Firing // as somebody would be paged who knew at once what happens
	outages []peer.Firing // stretches in which more fails than may
	// byClock is when the rules held on what happened by the stamps that the venue's
	// own clock gave it, in that clock's time; shift is how far the clock was off.
	byClock []peer.Firing
	shift   func(at int64) int64
}

// A came is a page that came, in true time, and when it did by the venue's clock.
type came struct {
	peer.Firing
	stamp int64
}

// due is what of a promise's pages would be right.
func (f *feed) due(p promise) (due, error) {
	d := due{outages: f.outages(p), shift: func(at int64) int64 { return p.node.plan.offset(at) }}
	burn, err := f.allSeeing(p)
	if err != nil {
		return d, err
	}
	// At each step of the nodes, with the events that came by then.
	events := f.seen.events[account{p.node.number, f.sheets[p.number].thing}]
	minutes := map[int64]slo.Counts{}
	for at := f.start + f.step; at <= f.end; at += f.step {
		for ; len(events) > 0 && events[0].at <= at; events = events[1:] {
			m := events[0].at / 60_000
			was := minutes[m]
			is := was.Add(events[0].counts())
			minutes[m] = is
			burn.Track.Advance(m)
			burn.Track.Replace(m, slo.Sum{Counts: was}, slo.Sum{Counts: is})
		}
		if firing(burn, time.UnixMilli(at)) {
			d.pages = append(d.pages, peer.Firing{From: at - f.step, To: at})
		}
	}
	d.pages = merge(d.pages)
	return d, f.dueByClock(p, &d)
}

// dueByClock runs the rules over the minutes as they were stamped.
func (f *feed) dueByClock(p promise, d *due) error {
	burn, err := f.allSeeing(p)
	if err != nil {
		return err
	}
	stamped := f.truth.events[account{p.node.number, f.sheets[p.number].thing}]
	if len(stamped) == 0 {
		return nil
	}
	known := slices.Sorted(maps.Keys(stamped))
	const longest = 6 * 60 // minutes that rules which page look back
	for m := known[0]; m <= known[len(known)-1]; m++ {
		if c, ok := stamped[m]; ok {
			burn.Track.Advance(m)
			burn.Track.Replace(m, slo.Sum{}, slo.Sum{Counts: c})
		} else if at, _ := slices.BinarySearch(known, m); m-known[at-1] > longest {
			m = known[at] - 1 // nothing happened for so long that nothing holds
			continue
		}
		if firing(burn, slo.MinuteStart(m).Add(59*time.Second)) {
			d.byClock = append(d.byClock, peer.Firing{From: m * 60_000, To: (m + 1) * 60_000})
		}
	}
	d.byClock = merge(d.byClock)
	return nil
}

// allSeeing is a watch that nobody keeps anything from.
func (f *feed) allSeeing(p promise) (*slo.BurnWatch, error) {
	return slo.NewBurnWatch(p.node.source.String(), f.objectives[p.number], nil)
}

// firing steps a watch and reports whether anything of it pages.
func firing(burn *slo.BurnWatch, now time.Time) bool {
	burn.Step(now)
	return slices.ContainsFunc(burn.Watch.Active(), func(a slo.Alert) bool { return a.Urgency == slo.Page && a.Phase == slo.Firing })
}

// outages are the stretches in which a promise's venue has trouble that costs more
// than may be lost.
func (f *feed) outages(p promise) (out []peer.Firing) {
	for _, t := range p.node.plan.troubles {
		if t.share > 1-p.Target {
			out = append(out, peer.Firing{From: t.from, To: t.to})
		}
	}
	return merge(out)
}

// pagesOf is when a promise's node paged.
func (f *feed) pagesOf(p promise) (out []came) {
	for id, at := range f.seen.pages {
		is := f.paged[id]
		if s := is.Scope; s.Venue != p.node.source.Venue || s.Cause != incident.Objective || s.Name != f.objectives[p.number].Name {
			continue
		}
		if is.Open() {
			at.To = f.now
		}
		out = append(out, came{at, is.Wakings()[0].AtMS})
	}
	return out
}

// paged are the pages of the rules of a server, whose clock is right.
func paged(list []peer.Firing) (out []came) {
	for _, x := range list {
		out = append(out, came{x, x.From})
	}
	return out
}

// merge puts what overlaps, or is no further apart than flap, together.
func merge(list []peer.Firing) (out []peer.Firing) {
	slices.SortFunc(list, func(a, b peer.Firing) int { return cmp.Compare(a.From, b.From) })
	for _, x := range list {
		if n := len(out); n > 0 && x.From-out[n-1].To <= flap {
			out[n-1].To = max(out[n-1].To, x.To)
		} else {
			out = append(out, x)
		}
	}
	return out
}

// mergeCame does the same to pages.
func mergeCame(list []came) (out []came) {
	slices.SortFunc(list, func(a, b came) int { return cmp.Compare(a.From, b.From) })
	for _, x := range list {
		if n := len(out); n > 0 && x.From-out[n-1].To <= flap {
			out[n-1].To = max(out[n-1].To, x.To)
		} else {
			out = append(out, x)
		}
	}
	return out
}

// apart is how far two stretches are from each other; 0 if they touch.
func apart(a, b peer.Firing) int64 { return max(0, a.From-b.To, b.From-a.To) }

// answers reports whether a page that came is soon enough for one that is due.
func answers(d, c peer.Firing) bool { return c.From <= d.To+pageLate && c.To >= d.From-pageEarly }

// judge compares pages that were due with those that came.
func (s *PageScore) judge(d due, list []came) {
	list = mergeCame(list)
	s.Due += len(d.pages)
	for i, x := range d.pages {
		var of []came // that are of this one and no other
		answered := false
		for _, c := range list {
			if answers(x, c.Firing) {
				answered = true
				if d.nearest(c.Firing) == i {
					of = append(of, c)
				}
			}
		}
		if !answered {
			s.Missed++
			if !d.heldByClock(x.From+d.shift(x.From), x.To+d.shift(x.To)) {
				s.MissedByClock++
			}
		}
		for n := 1; n < len(of); n++ {
			if !d.fresh(of[n-1], of[n]) {
				s.Double++
			}
		}
	}
	for _, c := range list {
		if slices.ContainsFunc(d.pages, func(x peer.Firing) bool { return answers(x, c.Firing) }) {
			continue
		}
		if s.False++; d.heldByClock(c.stamp, c.stamp) {
			s.FalseByClock++
		}
	}
}

// nearest is the place of the page that is due which a page that came is nearest to.
func (d due) nearest(c peer.Firing) int {
	best := 0
	for i, x := range d.pages {
		if apart(x, c) < apart(d.pages[best], c) {
			best = i
		}
	}
	return best
}

// fresh reports whether a new outage began after one page and before the next: a rule
// that looks back for hours goes on holding over two.
func (d due) fresh(last, next came) bool {
	return slices.ContainsFunc(d.outages, func(o peer.Firing) bool { return o.From > last.From && o.From-pageEarly <= next.From })
}

// heldByClock reports whether the rules held within [from, to] of the venue's clock.
func (d due) heldByClock(from, to int64) bool {
	return slices.ContainsFunc(d.byClock, func(x peer.Firing) bool { return x.From-pageEarly <= to && x.To+pageEarly >= from })
}
