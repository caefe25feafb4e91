package ledger

import (
	"encoding/binary"

	"ghostlight/slo"
)

// A line holds what is known now of one objective on one node in one hour, in few
// bytes: of many nodes it is in memory. Entries are in order of arrival: the minute
// within the hour, u8; the bucket; the arrival, a varint of milliseconds after the
// minute's start.
type line struct {
	objective *objective
	held      uint64 // bit i: minute i has an entry
	hash      uint64 // of the first bucket
	last      int32  // where the last entry begins
	entries   []byte
}

// find returns what is held of a minute, and where.
func (n *line) find(hour int64, i int) (v version, from, to int, ok bool) {
	if n.held&(1<<i) == 0 {
		return version{}, 0, 0, false
	}
	if int(n.entries[n.last]) == i {
		v, to = n.read(hour, int(n.last))
		return v, int(n.last), to, true
	}
	for from < len(n.entries) {
		v, to = n.read(hour, from)
		if int(n.entries[from]) == i {
			return v, from, to, true
		}
		from = to
	}
	return version{}, 0, 0, false
}

// read reads the entry at an offset.
func (n *line) read(hour int64, from int) (v version, to int) {
	r := reader{src: n.entries[from:]}
	minute := hour*60 + int64(r.byte())
	v.Bucket = r.bucket(n.hash)
	v.Minute = minute
	v.arrivedMS = minute*60_000 + r.varint()
	return v, len(n.entries) - len(r.src)
}

// put makes v what is held of its minute, whatever was. Where is what find returned.
func (n *line) put(v version, i, from, to int) {
	if n.held == 0 {
		n.hash = v.Hash
	}
	if n.held&(1<<i) != 0 {
		n.entries = append(n.entries[:from], n.entries[to:]...)
	}
	if n.entries == nil {
		n.entries = make([]byte, 0, 64)
	}
	n.last = int32(len(n.entries))
	n.entries = append(n.entries, byte(i))
	n.entries = appendBucket(n.entries, &v.Bucket, n.hash)
	n.entries = binary.AppendVarint(n.entries, v.arrivedMS-v.Minute*60_000)
	n.held |= 1 << i
}

// each calls yield with all that is held, in no order.
func (n *line) each(hour int64, yield func(version)) {
	for from := 0; from < len(n.entries); {
		v, to := n.read(hour, from)
		yield(v)
		from = to
	}
}

// supersedes is [slo.Bucket.Supersedes] for buckets of one objective without name.
func supersedes(b, old slo.Bucket) bool {
	if b.Revision != old.Revision {
		return b.Revision > old.Revision
	}
	b.Objective, old.Objective = "x", "x"
	return b.Supersedes(old)
}
