package delta

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed means that a payload is not what [Codec.Encode] writes.
	ErrMalformed = errors.New("payload is malformed")
	// ErrLimit means that a batch or payload exceeds a limit. The error says
	// which one.
	ErrLimit = errors.New("limit exceeded")
	// ErrInvalid means that a batch breaks the rules of [Series]: labels that are
	// not sorted and unique, or a series without a name.
	ErrInvalid = errors.New("batch is invalid")
)

// Limits bound what one payload may hold, so that a hostile or broken sender
// hurts only itself. Encoder and decoder hold them alike: with the same limits,
// what was encoded can be decoded.
type Limits struct {
	// Bytes bounds what a payload may decompress to and, separately, the memory
	// of the decoded batch.
	Bytes int64
	// Series and Samples bound their counts; Samples bounds records as well.
	Series  int
	Samples int
	// LabelBytes bounds the names and values of one series' labels together.
	LabelBytes int
	// State bounds what the two sides of a stream, or a [Dict], keep in memory
	// between frames, each; 0 means 32 MiB.
	State int64
}

// state is the limit on State that is in force.
func (l Limits) state() int64 {
	if l.State == 0 {
		return 32 << 20
	}
	return l.State
}

// DefaultLimits are the limits of a fleet that was not told otherwise: 64 MiB,
// 50 000 series, a million samples, 16 KiB of labels per series.
func DefaultLimits() Limits {
	return Limits{Bytes: 64 << 20, Series: 50_000, Samples: 1_000_000, LabelBytes: 16 << 10}
}

// Validate reports a limit that would refuse everything.
func (l Limits) Validate() error {
	if l.Bytes < 1 || l.Series < 1 || l.Samples < 1 || l.LabelBytes < 1 || l.State < 0 {
		return fmt.Errorf("limits must be positive: %+v", l)
	}
	return nil
}

// What the parts of a decoded batch cost in memory, in bytes, so that encoder and
// decoder agree on what [Limits].Bytes allows.
const (
	costSeries = 128
	costLabel  = 32
	costSample = 16
	costRecord = 96
	costString = 16 // and its text
	costMeta   = 48
	costShape  = 96
	costList   = 24 // and 8 for each number in it
)

// A meter counts the memory that a decoded batch takes.
type meter struct{ left int64 }

func (m *meter) take(n int) { m.left -= int64(n) }

func (m *meter) err(limit int64) error {
	if m.left >= 0 {
		return nil
	}
	return fmt.Errorf("%w: the batch takes more than %d bytes of memory", ErrLimit, limit)
}
