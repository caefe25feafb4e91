package slo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// State says what a node knows about one minute of one objective. A minute
// without a bucket is pending: the node may be dark.
type State uint8

// The states of a minute. Their numbers are part of the bucket format.
const (
	Measured State = 1 // good and total are what happened while Observed seconds were watched
	Gap      State = 2 // the node attests that it did not run or could not see; nothing will come
	Excluded State = 3 // planned: does not count
)

// A Bucket is the good and total of one objective on one node in one minute of
// event time. Of several for the same minute the highest revision wins, so
// repeats and replays change nothing.
type Bucket struct {
	Objective string
	Hash      uint64 // of the objective's definition
	Minute    int64  // minutes since the Unix epoch
	Epoch     uint32 // rises each time the node's wall clock was set
	Revision  uint32 // from 1
	Good      int64
	Total     int64
	Observed  uint8 // seconds of the minute the source was watched, 0 to 60
	Open      bool  // more of this minute may come: it has not ended, or the source was not read past its end
	Failing   bool  // Total is 0 and the journey failed within the minute
	Passing   bool  // the journey passed within the minute
	State     State
}

// Silence says what a measured minute without events means.
type Silence uint8

// The silences.
const (
	NotSilent Silence = iota // there were events, or the minute was not measured
	Quiet                    // watched the whole minute while the journey passed: nobody came
	Blind                    // not watched throughout, or no journey vouches for it
	Failing                  // the journey failed: perhaps nobody could
)

// Silence reports what it means that the bucket holds no events.
func (b Bucket) Silence() Silence {
	switch {
	case b.State != Measured || b.Total > 0:
		return NotSilent
	case b.Failing:
		return Failing
	case b.Observed == 60 && b.Passing:
		return Quiet
	}
	return Blind
}

// Key is the record key of the bucket: objective and minute.
func (b Bucket) Key() string { return fmt.Sprintf("%s/%d", b.Objective, b.Minute) }

// Supersedes reports whether b replaces old, a bucket of the same minute: it has
// the higher revision. Two different buckets of one revision come only from a
// copied node; an arbitrary but fixed order then decides, so that all who hold
// both agree.
func (b Bucket) Supersedes(old Bucket) bool {
	if b.Revision != old.Revision {
		return b.Revision > old.Revision
	}
	mine, _ := b.AppendBinary(nil)
	theirs, _ := old.AppendBinary(nil)
	return bytes.Compare(mine, theirs) > 0
}

// MaxCount bounds the events of one minute, so that sums over any window and
// fleet stay exact.
const MaxCount = 1 << 40

// Validate reports counts or ranges that cannot be true.
func (b Bucket) Validate() error {
	switch {
	case b.Objective == "":
		return errors.New("bucket has no objective")
	case len(b.Objective) > 63:
		return fmt.Errorf("bucket's objective name is %d bytes long; allowed: 63", len(b.Objective))
	case b.State < Measured || b.State > Excluded:
		return fmt.Errorf("bucket state %d is unknown", b.State)
	case b.Good < 0 || b.Total < 0:
		return fmt.Errorf("bucket counts are negative: good %d, total %d", b.Good, b.Total)
	case b.Total > MaxCount:
		return fmt.Errorf("bucket holds %d events, more than a minute can", b.Total)
	case b.Good > b.Total:
		return fmt.Errorf("bucket has more good (%d) than total (%d)", b.Good, b.Total)
	case b.Observed > 60:
		return fmt.Errorf("bucket observed %d s of a minute", b.Observed)
	case b.Revision == 0:
		return errors.New("bucket has revision 0; revisions count from 1")
	}
	return nil
}

const bucketVersion = 1

// AppendBinary appends the bucket's versioned encoding to dst: version and flags
// bytes (1 failing, 2 open, 4 passing), state, observed, hash (8 bytes, little endian), then varints of minute,
// epoch, revision, good and total, then the objective's name.
func (b Bucket) AppendBinary(dst []byte) ([]byte, error) {
	if err := b.Validate(); err != nil {
		return dst, err
	}
	var flags byte
	for i, set := range []bool{b.Failing, b.Open, b.Passing} {
		if set {
			flags |= 1 << i
		}
	}
	dst = append(dst, bucketVersion, flags, byte(b.State), b.Observed)
	dst = binary.LittleEndian.AppendUint64(dst, b.Hash)
	dst = binary.AppendVarint(dst, b.Minute)
	dst = binary.AppendUvarint(dst, uint64(b.Epoch))
	dst = binary.AppendUvarint(dst, uint64(b.Revision))
	dst = binary.AppendUvarint(dst, uint64(b.Good))
	dst = binary.AppendUvarint(dst, uint64(b.Total))
	return append(dst, b.Objective...), nil
}

// DecodeBucket reads one bucket. An error means that it is malformed or cannot
// be true; nothing of it may be used.
func DecodeBucket(src []byte) (Bucket, error) {
	if len(src) < 12 {
		return Bucket{}, fmt.Errorf("bucket of %d bytes is cut short", len(src))
	}
	if src[0] != bucketVersion {
		return Bucket{}, fmt.Errorf("bucket version %d is not supported", src[0])
	}
	if src[1] > 7 {
		return Bucket{}, fmt.Errorf("bucket flags %#x are unknown", src[1])
	}
	b := Bucket{Failing: src[1]&1 != 0, Open: src[1]&2 != 0, Passing: src[1]&4 != 0, State: State(src[2]), Observed: src[3], Hash: binary.LittleEndian.Uint64(src[4:])}
	rest := src[12:]
	minute, n := binary.Varint(rest)
	if n <= 0 {
		return Bucket{}, errors.New("bucket is cut short in its minute")
	}
	rest, b.Minute = rest[n:], minute
	var fields [4]uint64
	for i := range fields {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return Bucket{}, errors.New("bucket is cut short in its counts")
		}
		fields[i], rest = v, rest[n:]
	}
	if fields[0] > 1<<32-1 || fields[1] > 1<<32-1 || fields[2] > MaxCount || fields[3] > MaxCount {
		return Bucket{}, errors.New("bucket counts are out of range")
	}
	b.Epoch, b.Revision, b.Good, b.Total = uint32(fields[0]), uint32(fields[1]), int64(fields[2]), int64(fields[3])
	b.Objective = string(rest)
	return b, b.Validate()
}
