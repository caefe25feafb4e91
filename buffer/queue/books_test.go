package queue_test

import (
	"os"
	"testing"

	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// books are what a property test knows of a queue of its own: what it was given
// and what was acknowledged.
type books struct {
	t           *testing.T
	rt          *rapid.T
	q           *queue.Queue
	o           queue.Options
	made, acked map[buffer.Lane]amount
}

// An amount is how much batches hold.
type amount struct{ samples, records int64 }

func amountOf(b delta.Batch) amount { return amount{int64(b.Samples()), int64(len(b.Records))} }

func (a amount) plus(b amount) amount { return amount{a.samples + b.samples, a.records + b.records} }

func newBooks(t *testing.T, rt *rapid.T, o queue.Options) *books {
	b := &books{t: t, rt: rt, o: o, made: map[buffer.Lane]amount{}, acked: map[buffer.Lane]amount{}}
	var err error
	b.o.Dir, err = os.MkdirTemp(t.TempDir(), "")
	b.must(err)
	b.q, err = queue.Open(t.Context(), b.o)
	b.must(err)
	return b
}

func (b *books) must(err error) {
	if err != nil {
		b.rt.Fatal(err)
	}
}

func (b *books) append(e queue.Entry) {
	b.must(b.q.Append(b.t.Context(), queue.Commit{Entries: []queue.Entry{e}}))
	b.made[e.Lane] = b.made[e.Lane].plus(amountOf(e.Batch))
}

func (b *books) next(most int) []queue.Stored {
	blocks, err := b.q.Next(b.t.Context(), most, nil)
	b.must(err)
	return blocks
}

func (b *books) ack(s queue.Stored) {
	b.must(b.q.Ack(b.t.Context(), wire.Ack{Session: s.Session, Lane: s.Lane, Ranges: []wire.Range{{First: s.First, Last: s.Seq}}}))
	b.acked[s.Lane] = b.acked[s.Lane].plus(amountOf(s.Batch))
}

func (b *books) reopen() {
	b.must(b.q.Close())
	var err error
	b.q, err = queue.Open(b.t.Context(), b.o)
	b.must(err)
}

// check requires that of each lane all is acknowledged, lost for a reason, or
// waiting.
func (b *books) check() {
	for lane, s := range b.q.Stats() {
		r, lost := s.Records, int64(0)
		for _, n := range r.Lost {
			lost += n
		}
		if told := (amount{s.Produced, r.Produced}); told != b.made[lane] {
			b.rt.Fatalf("lane %s: %+v are said to be produced of %+v", lane, told, b.made[lane])
		}
		if sum := b.acked[lane].plus(amount{s.LostTotal() + s.Waiting, lost + r.Waiting}); sum != b.made[lane] {
			b.rt.Fatalf("lane %s: %+v of %+v are accounted for, %+v acknowledged: %+v", lane, sum, b.made[lane], b.acked[lane], s)
		}
	}
}

// checkWaiting requires that what is counted as waiting is there.
func (b *books) checkWaiting() {
	there := map[buffer.Lane]amount{}
	for _, s := range b.next(1 << 20) {
		there[s.Lane] = there[s.Lane].plus(amountOf(s.Batch))
	}
	for lane, s := range b.q.Stats() {
		if waits := (amount{s.Waiting, s.Records.Waiting}); there[lane] != waits {
			b.rt.Fatalf("lane %s: %+v found, %+v are said to wait", lane, there[lane], waits)
		}
	}
}
