package ledger

import (
	"context"
	"encoding/binary"
	"fmt"

	"ghostlight/buffer"
	"ghostlight/slo"
)

// A Change is one minute of one node that became another. Was and Is are what it
// adds to the objective as it is defined in Of.
type Change struct {
	buffer.Source
	Of      *slo.Objective
	Minute  int64
	Was, Is slo.Sum
}

// Subscribe has told called with the changes of each transaction, in order, after it
// became durable and before the next begins. It must be quick, keep nothing of the
// slice, and neither write nor wait for somebody who does. Objectives without
// definition change silently.
func (l *Ledger) Subscribe(told func([]Change)) {
	l.turn.Lock()
	defer l.turn.Unlock()
	l.told = append(l.told, told)
}

// seal writes what a transaction brought: those buckets that change anything, in one
// row, and a few hours that rest.
func (l *Ledger) seal(ctx context.Context, st *stage) error {
	if err := l.unpark(ctx, st); err != nil {
		return err
	}
	kept := st.arrivals[:0]
	var c *chunk
	for _, a := range st.arrivals {
		if hour := a.bucket.Minute / 60; c == nil || c.source != a.source || c.hour != hour {
			var err error
			if c, err = l.chunkOf(ctx, st.tx, a.source, hour); err != nil {
				return err
			}
		}
		if !c.takes(a.objective, a.bucket) {
			continue
		}
		c.touched = st
		if err := l.assign(ctx, st, a.source, a.objective, a.bucket.Minute); err != nil {
			return err
		}
		kept = append(kept, a)
	}
	if st.arrivals = kept; len(kept) > 0 {
		st.id = l.last + 1
		_, err := st.tx.ExecContext(ctx, `INSERT INTO bucket_arrivals VALUES (?, ?, ?)`, st.id, st.arrivedMS, packArrivals(kept))
		if err != nil {
			return fmt.Errorf("store %d buckets: %w", len(kept), err)
		}
	}
	return l.foldSome(ctx, st)
}

// done lets memory follow a transaction.
func (l *Ledger) done(st *stage, err error) {
	defer l.turn.Unlock()
	defer l.current.Store(nil)
	l.spare = st.arrivals
	if err != nil {
		l.unsure = true
		l.unfold(st)
		return
	}
	for _, told := range l.follow(st) {
		told.to(told.changes)
	}
}

// telling is what a subscriber is to be told.
type telling struct {
	to      func([]Change)
	changes []Change
}

func (l *Ledger) follow(st *stage) (out []telling) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, o := range st.fresh {
		l.objectives[name], l.byID[o.id] = o, o
	}
	for _, d := range st.defined {
		if d.objective.definedMS <= d.ms {
			d.objective.definedMS = d.ms
			if d.objective.def == nil || string(d.objective.def.Document) != string(d.def.Document) {
				d.objective.def = d.def
			}
		}
	}
	for at, since := range st.since {
		o := l.byID[at.objective]
		if old, ok := o.since[at.source]; !ok || since < old {
			o.since[at.source] = since
			o.nodes.Store(nil)
		}
	}
	l.forget(st)
	if st.id == 0 {
		return nil
	}
	l.last, l.arrivedMS = st.id, st.arrivedMS
	changes := l.enter(st)
	for _, to := range l.told {
		out = append(out, telling{to, changes})
	}
	return out
}

// enter puts the arrivals of a durable transaction into memory.
func (l *Ledger) enter(st *stage) (changes []Change) {
	var src buffer.Source
	var c *chunk
	changes = l.changes[:0]
	for i := range st.arrivals {
		a := &st.arrivals[i]
		if hour := a.bucket.Minute / 60; c == nil || c.source != a.source || c.hour != hour {
			c = l.nodes[a.source].chunk(hour)
			src, _ = l.store.Source(a.source)
		}
		was, held, took := c.take(a.objective, version{a.bucket, st.arrivedMS}, st.id)
		if !took || len(l.told) == 0 || a.objective.def == nil {
			continue
		}
		ch := Change{Source: src, Of: a.objective.def, Minute: a.bucket.Minute, Is: a.objective.sum(&a.bucket)}
		if held {
			ch.Was = a.objective.sum(&was.Bucket)
		}
		changes = append(changes, ch)
	}
	l.changes = changes
	return changes
}

const arrivalsVersion = 1

// packArrivals is a row of arrivals: version u8; the number of distinct pairs of
// objective and hash as uvarint, and the pairs: uvarint and u64; then for each bucket
// varints of how its source, and its minute, differ from the one before, the pair as
// uvarint and the bucket without its hash.
func packArrivals(list []arrival) []byte {
	type pair struct {
		objective int64
		hash      uint64
	}
	pairs, order := map[pair]int{}, []pair{}
	for _, a := range list {
		p := pair{a.objective.id, a.bucket.Hash}
		if _, ok := pairs[p]; !ok {
			pairs[p] = len(order)
			order = append(order, p)
		}
	}
	out := make([]byte, 0, 16+10*len(order)+14*len(list))
	out = append(out, arrivalsVersion)
	out = binary.AppendUvarint(out, uint64(len(order)))
	for _, p := range order {
		out = binary.AppendUvarint(out, uint64(p.objective))
		out = binary.LittleEndian.AppendUint64(out, p.hash)
	}
	var source, minute int64
	for i := range list {
		a := &list[i]
		out = binary.AppendVarint(out, a.source-source)
		out = binary.AppendVarint(out, a.bucket.Minute-minute)
		source, minute = a.source, a.bucket.Minute
		out = binary.AppendUvarint(out, uint64(pairs[pair{a.objective.id, a.bucket.Hash}]))
		out = appendBucket(out, &a.bucket, a.bucket.Hash)
	}
	return out
}

// unpackArrivals reads what packArrivals wrote.
func (l *Ledger) unpackArrivals(src []byte) ([]arrival, error) {
	r := reader{src: src}
	if r.byte() != arrivalsVersion {
		return nil, errRow
	}
	n := r.uvarint()
	if n > uint64(len(src)) {
		return nil, errRow
	}
	pairs := make([]arrival, n)
	for i := range pairs {
		pairs[i].objective, pairs[i].bucket.Hash = l.byID[int64(r.uvarint())], r.u64()
	}
	var out []arrival
	var source, minute int64
	for len(r.src) > 0 {
		source, minute = source+r.varint(), minute+r.varint()
		i := r.uvarint()
		if i >= n || pairs[i].objective == nil || minute < 0 || minute > maxMinute {
			return nil, errRow
		}
		a := pairs[i]
		a.source, a.bucket = source, r.bucket(a.bucket.Hash)
		a.bucket.Minute, a.bucket.Objective = minute, a.objective.name
		if r.bad || a.bucket.Validate() != nil {
			return nil, errRow
		}
		out = append(out, a)
	}
	if r.bad {
		return nil, errRow
	}
	return out, nil
}
