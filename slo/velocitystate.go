package slo

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

const velocityVersion = 1

const velocityHead = "head"

func velocityKey(minute int64) string { return fmt.Sprintf("minute/%d", minute) }

// State is what must be stored, in one transaction with what was counted and with
// how far the guests were read; a nil value deletes its key. Then call
// [Velocity.Commit]; if storing failed, make the velocity anew.
func (v *Velocity) State() map[string][]byte {
	if len(v.dirty) == 0 && !v.counted {
		return nil
	}
	state := map[string][]byte{}
	for m := range v.dirty {
		state[velocityKey(m)] = v.encodeMinute(m)
	}
	state[velocityHead] = v.encodeHead()
	return state
}

// Commit notes that State is stored.
func (v *Velocity) Commit() {
	clear(v.dirty)
	v.counted = false
}

// encodeHead: version, then varints of the guests dropped and of the minutes that
// hold guests, each less the one before.
func (v *Velocity) encodeHead() []byte {
	b := binary.AppendUvarint([]byte{velocityVersion}, uint64(v.dropped))
	var last int64
	for _, m := range slices.Sorted(maps.Keys(v.minutes)) {
		b = binary.AppendVarint(b, m-last)
		last = m
	}
	return b
}

// encodeMinute: how many guests, then for each varints of the milliseconds into the minute, doubled
// and one more if it is a purchase, and of the length of the name, then the name.
// nil means that the minute holds nobody.
func (v *Velocity) encodeMinute(m int64) []byte {
	names := v.byTime(m)
	if len(names) == 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(len(names)))
	for _, name := range names {
		g := v.guests[name]
		b = binary.AppendUvarint(b, uint64(g.atMS-m*60_000)<<1|uint64(index(g.early)))
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return b
}

func (v *Velocity) restore(load func(key string) ([]byte, error)) error {
	raw, err := load(velocityHead)
	if err != nil || raw == nil {
		return err
	}
	r := reader{raw: raw}
	if version := r.byte(); version != velocityVersion {
		return fmt.Errorf("%w: velocity version %d", ErrState, version)
	}
	v.dropped = r.count()
	var m int64
	for len(r.raw) > 0 && !r.bad {
		m += r.varint()
		chunk, err := load(velocityKey(m))
		if err != nil {
			return err
		}
		if !v.restoreMinute(m, chunk) {
			return fmt.Errorf("%w: guests of minute %d, %d bytes", ErrState, m, len(chunk))
		}
	}
	if r.bad {
		return fmt.Errorf("%w: velocity head of %d bytes", ErrState, len(raw))
	}
	return nil
}

func (v *Velocity) restoreMinute(m int64, raw []byte) bool {
	r := reader{raw: raw}
	for range r.uvarint(uint64(len(raw))) {
		at := r.uvarint(2*60_000 - 1)
		name := r.text()
		if _, twice := v.guests[name]; r.bad || twice {
			return false
		}
		v.put(name, guest{atMS: m*60_000 + int64(at>>1), early: at&1 == 1})
	}
	return !r.bad && len(raw) > 0 && len(r.raw) == 0
}

// before lists the minutes before m that hold guests, oldest first.
func (v *Velocity) before(m int64) []int64 {
	var out []int64
	for at := range v.minutes {
		if at < m {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return out
}

// byTime lists the guests of a minute, oldest first.
func (v *Velocity) byTime(m int64) []string {
	names := slices.Collect(maps.Keys(v.minutes[m]))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(v.guests[a].atMS, v.guests[b].atMS), cmp.Compare(a, b))
	})
	return names
}
