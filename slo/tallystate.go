package slo

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// head is where a tally is in time.
type head struct {
	started bool
	next    int64  // first minute that is not closed
	current int64  // minute of the last look
	wallMS  int64  // clock at the last look
	epoch   uint32 // of the clock
	told    uint32 // highest revision of any minute
	forgot  int64  // hours before may be forgotten; sources that keep nothing

	// Hours that are kept until a minute, though they left the horizon: the clock
	// leapt out of them and may come back.
	heldFrom, heldTo int64
	heldUntil        int64
}

// holds reports whether hours are held at all, keeps whether h is one of them.
func (h head) holds() bool           { return h.current < h.heldUntil }
func (h head) keeps(hour int64) bool { return h.holds() && h.heldFrom <= hour && hour <= h.heldTo }

// cell is what a tally knows of one minute.
type cell struct {
	good, total int64
	watchedMS   uint16 // 0 to 60,000
	revision    uint32 // last told, 0 never
	epoch       uint32 // when last told
	failing     bool
	passing     bool
	open        bool // as last told
	gap         bool // as last told
}

func (c cell) bucket(o Objective, m int64) Bucket {
	b := Bucket{
		Objective: o.Name, Hash: o.Hash, Minute: m, Epoch: c.epoch, Revision: c.revision,
		Good: c.good, Total: c.total, Observed: uint8(c.watchedMS / 1000),
		Open: c.open, Failing: c.failing && c.total == 0, Passing: c.passing, State: Measured,
	}
	if c.gap {
		b.State = Gap
	}
	return b
}

func hourOf(minute int64) int64 {
	h := minute / 60
	if minute%60 < 0 {
		h--
	}
	return h
}

// The keys carry the indicator's hash: what was counted for another indicator
// is never continued.
func headKey(hash uint64) string { return fmt.Sprintf("%016x/head", hash) }

func hourKey(hash uint64, h int64) string {
	return fmt.Sprintf("%016x/hour/%s", hash, strconv.FormatInt(h, 10))
}

// cell returns what is known of minute m, staged or stored.
func (t *Tally) cell(m int64) (cell, error) {
	if c, ok := t.staged[m]; ok {
		return c, nil
	}
	h := hourOf(m)
	if _, ok := t.hours[h]; !ok {
		raw, err := t.opts.Load(hourKey(t.o.Hash, h))
		if err != nil {
			return cell{}, fmt.Errorf("tally of %s: read hour %d: %w", t.o.Name, h, err)
		}
		cells, err := decodeHour(h, raw)
		if err != nil {
			return cell{}, fmt.Errorf("tally of %s: read hour %d: %w", t.o.Name, h, err)
		}
		t.hours[h] = cells
	}
	return t.hours[h][m], nil
}

// committed is what is stored of minute m, whose hour is in memory.
func (t *Tally) committed(m int64) cell { return t.hours[hourOf(m)][m] }

// revision is what was last told of minute m. The clock may come back to a minute that
// is forgotten: then no revision told so far is one of its next.
func (t *Tally) revision(m int64) uint32 {
	c := t.committed(m)
	if c.revision == 0 && hourOf(m) < t.head.forgot {
		return t.saved.told
	}
	return c.revision
}

func (t *Tally) stage(m int64, c cell) { t.staged[m] = c }

// state adds to e what must be stored with it: the head and the hours touched.
// Hours of sources that keep nothing are deleted once they are closed, leave the
// horizon and are not held.
func (t *Tally) state(e *Emission) {
	oldest := t.oldest(t.head)
	if !t.o.Indicator.durable() {
		t.head.forgot = max(t.head.forgot, oldest)
	}
	e.State = map[string][]byte{headKey(t.o.Hash): encodeHead(t.head)}
	touched := map[int64]map[int64]cell{}
	for m, c := range t.staged {
		h := hourOf(m)
		if touched[h] == nil {
			touched[h] = maps.Clone(t.hours[h])
		}
		if touched[h] == nil {
			touched[h] = map[int64]cell{}
		}
		touched[h][m] = c
	}
	for h, cells := range touched {
		if t.o.Indicator.durable() || h >= oldest || t.head.keeps(h) {
			e.State[hourKey(t.o.Hash, h)] = encodeHour(h, cells)
		}
	}
	if t.o.Indicator.durable() || !t.saved.started {
		return
	}
	for h := t.oldest(t.saved); h < oldest; h++ {
		t.forget(e, h)
	}
	if t.saved.holds() && !t.head.holds() {
		for h := min(t.head.heldTo, oldest-1); h >= t.head.heldFrom && len(e.State) < mostKeys; h-- {
			t.forget(e, h)
		}
	}
}

// mostKeys bounds what one emission stores and deletes.
const mostKeys = 1000

func (t *Tally) forget(e *Emission, h int64) {
	if len(e.State) < mostKeys && !t.head.keeps(h) {
		e.State[hourKey(t.o.Hash, h)] = nil
	}
}

// hold keeps what is remembered when the clock leaps to now, also of minutes that a
// smaller leap had counted ahead: a clock that leaps forth, or starts wrong, may be set
// back. Once it went on for a horizon it is believed.
func (t *Tally) hold(now int64) {
	half := t.horizonHours() * 60 / 2
	if leap := now - t.head.current; -half < leap && leap < half {
		return
	}
	from, to := t.oldest(t.head), hourOf(t.head.current+half)
	if t.head.holds() {
		from, to = min(from, t.head.heldFrom), max(to, t.head.heldTo)
	}
	t.head.heldFrom, t.head.heldTo, t.head.heldUntil = from, to, now+t.horizonHours()*60
}

func (t *Tally) horizonHours() int64 { return max(1, int64(t.opts.Horizon/time.Hour)) }

// oldest is the first hour that is kept in memory: within the horizon or, of sources
// that keep nothing, not closed yet.
func (t *Tally) oldest(at head) int64 {
	h := hourOf(at.current) - t.horizonHours()
	if !t.o.Indicator.durable() {
		h = min(h, hourOf(at.next))
	}
	return h
}

// Oldest is the first minute into which events may be counted: what was told of the
// minutes before may be forgotten. Outcomes may be counted into any.
func (t *Tally) Oldest() int64 {
	if t.o.Indicator.durable() || !t.head.started {
		return math.MinInt64
	}
	return t.oldest(t.head) * 60
}

// evict drops from memory hours that are stored or not needed any more.
func (t *Tally) evict() {
	oldest, newest := t.oldest(t.head), hourOf(t.head.current)+t.horizonHours()
	for h := range t.hours {
		if h < oldest || h > newest {
			delete(t.hours, h)
		}
	}
}

const (
	headVersion = 2
	hourVersion = 1
)

// encodeHead: version, then varints of next, current, wall clock and epoch, and since
// version 2 of the highest revision, the first hour not forgotten and what is held.
func encodeHead(h head) []byte {
	b := []byte{headVersion}
	b = binary.AppendVarint(b, h.next)
	b = binary.AppendVarint(b, h.current)
	b = binary.AppendVarint(b, h.wallMS)
	b = binary.AppendUvarint(b, uint64(h.epoch))
	b = binary.AppendUvarint(b, uint64(h.told))
	for _, v := range []int64{h.forgot, h.heldFrom, h.heldTo, h.heldUntil} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func decodeHead(raw []byte) (head, error) {
	r := reader{raw: raw}
	version := r.byte()
	if version < 1 || version > headVersion {
		return head{}, fmt.Errorf("%w: head version %d", ErrState, version)
	}
	h := head{started: true, next: r.varint(), current: r.varint(), wallMS: r.varint(), epoch: r.uint32()}
	if version > 1 {
		h.told, h.forgot = r.uint32(), r.varint()
		h.heldFrom, h.heldTo, h.heldUntil = r.varint(), r.varint(), r.varint()
	}
	if r.bad || len(r.raw) > 0 {
		return head{}, fmt.Errorf("%w: head of %d bytes", ErrState, len(raw))
	}
	return h, nil
}

// Flags of a stored cell.
const (
	cellFailing = 1 << iota
	cellPassing
	cellOpen
	cellGap
	cellWatched // the whole minute: no milliseconds follow
)

// encodeHour: version, then for each known minute its offset in the hour, flags,
// and varints of the milliseconds watched (unless the flag says all), revision,
// epoch, total and bad.
func encodeHour(h int64, cells map[int64]cell) []byte {
	b := []byte{hourVersion}
	for _, m := range slices.Sorted(maps.Keys(cells)) {
		c := cells[m]
		var flags byte
		for i, set := range []bool{c.failing, c.passing, c.open, c.gap, c.watchedMS == 60_000} {
			if set {
				flags |= 1 << i
			}
		}
		b = append(b, byte(m-h*60), flags)
		if flags&cellWatched == 0 {
			b = binary.AppendUvarint(b, uint64(c.watchedMS))
		}
		b = binary.AppendUvarint(b, uint64(c.revision))
		b = binary.AppendUvarint(b, uint64(c.epoch))
		b = binary.AppendUvarint(b, uint64(c.total))
		b = binary.AppendUvarint(b, uint64(c.total-c.good))
	}
	return b
}

func decodeHour(h int64, raw []byte) (map[int64]cell, error) {
	cells := map[int64]cell{}
	if raw == nil {
		return cells, nil
	}
	r := reader{raw: raw}
	if v := r.byte(); v != hourVersion {
		return nil, fmt.Errorf("%w: hour version %d", ErrState, v)
	}
	for len(r.raw) > 0 {
		offset, flags := r.byte(), r.byte()
		c := cell{
			failing: flags&cellFailing != 0, passing: flags&cellPassing != 0,
			open: flags&cellOpen != 0, gap: flags&cellGap != 0, watchedMS: 60_000,
		}
		if flags&cellWatched == 0 {
			c.watchedMS = uint16(min(60_000, r.uint32()))
		}
		c.revision, c.epoch = r.uint32(), r.uint32()
		c.total = r.count()
		c.good = c.total - r.count()
		_, twice := cells[h*60+int64(offset)]
		if r.bad || offset > 59 || c.good < 0 || twice {
			return nil, fmt.Errorf("%w: hour of %d bytes", ErrState, len(raw))
		}
		cells[h*60+int64(offset)] = c
	}
	return cells, nil
}

// reader takes fields off the front of raw; bad once one is missing or out of
// range.
type reader struct {
	raw []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.raw) == 0 {
		r.bad = true
		return 0
	}
	b := r.raw[0]
	r.raw = r.raw[1:]
	return b
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.raw)
	if n <= 0 {
		r.bad, r.raw = true, nil
		return 0
	}
	r.raw = r.raw[n:]
	return v
}

func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.raw)
	if n <= 0 || v > limit {
		r.bad, r.raw = true, nil
		return 0
	}
	r.raw = r.raw[n:]
	return v
}

// text reads a string behind its length.
func (r *reader) text() string {
	n := r.uvarint(uint64(len(r.raw)))
	if r.bad || n > uint64(len(r.raw)) {
		r.bad, r.raw = true, nil
		return ""
	}
	s := string(r.raw[:n])
	r.raw = r.raw[n:]
	return s
}

func (r *reader) uint32() uint32 { return uint32(r.uvarint(1<<32 - 1)) }
func (r *reader) count() int64   { return int64(r.uvarint(MaxCount)) }
