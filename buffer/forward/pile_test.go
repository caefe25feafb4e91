package forward_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// A pile is a node's buffer in memory that keeps the promises of package queue.
type pile struct {
	mu      sync.Mutex
	session buffer.Session
	blocks  []*piled
	seqs    map[buffer.Lane]buffer.Seq
	stats   map[buffer.Lane]wire.LaneStats
	state   map[string][]byte
	commits int   // of state
	broken  error // what every call returns
	changed chan struct{}
}

type piled struct {
	queue.Stored
	out bool
}

// freshFor is how long the pile takes a block for fresh.
const freshFor = 30 * time.Second

func newPile() *pile {
	return &pile{
		session: 77, seqs: map[buffer.Lane]buffer.Seq{}, stats: map[buffer.Lane]wire.LaneStats{},
		state: map[string][]byte{}, changed: make(chan struct{}, 1),
	}
}

// add commits batches, each as a block of its lane.
func (p *pile) add(entries ...queue.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		p.seqs[e.Lane]++
		p.put(e.Lane, p.seqs[e.Lane], p.seqs[e.Lane], e.Batch, time.Now())
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// addOld commits a block that stands for several, as merging leaves them.
func (p *pile) addOld(lane buffer.Lane, span int, b delta.Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.seqs[lane] + 1
	p.seqs[lane] += buffer.Seq(span)
	p.put(lane, first, p.seqs[lane], b, time.Now().Add(-time.Hour))
}

// put adds a block; the caller holds mu.
func (p *pile) put(lane buffer.Lane, first, last buffer.Seq, b delta.Batch, created time.Time) {
	p.blocks = append(p.blocks, &piled{Stored: queue.Stored{Lane: lane, Session: p.session, First: first, Seq: last, Batch: b, Created: created}})
	s := p.stats[lane]
	s.Produced += int64(b.Samples())
	s.Waiting += int64(b.Samples())
	s.Blocks++
	p.stats[lane] = s
}

// rank is the order of sending.
func rank(s queue.Stored) int {
	order := []struct {
		lane  buffer.Lane
		fresh bool
	}{{buffer.Revenue, true}, {buffer.Health, true}, {buffer.Revenue, false}, {buffer.Detail, true}, {buffer.Health, false}, {buffer.Detail, false}}
	for i, o := range order {
		if s.Lane == o.lane && s.Fresh == o.fresh {
			return i
		}
	}
	return len(order) + int(s.Lane)
}

func (p *pile) Next(_ context.Context, max int, allow func(buffer.Lane, bool) bool) ([]queue.Stored, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return nil, p.broken
	}
	var ready []*piled
	for _, b := range p.blocks {
		b.Fresh = time.Since(b.Created) <= freshFor
		if !b.out && (allow == nil || allow(b.Lane, b.Fresh)) {
			ready = append(ready, b)
		}
	}
	slices.SortStableFunc(ready, func(a, b *piled) int {
		return cmp.Or(cmp.Compare(rank(a.Stored), rank(b.Stored)), cmp.Compare(b.Seq, a.Seq))
	})
	var out []queue.Stored
	for _, b := range ready[:min(len(ready), max)] {
		b.out = true
		out = append(out, b.Stored)
	}
	return out, nil
}

func (p *pile) Release(s queue.Stored) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.blocks {
		if b.Lane == s.Lane && b.Seq == s.Seq {
			b.out = false
		}
	}
}

// forget removes what gone says; the caller holds mu.
func (p *pile) forget(gone func(*piled) bool, reason string) {
	p.blocks = slices.DeleteFunc(p.blocks, func(b *piled) bool {
		if !gone(b) {
			return false
		}
		s, n := p.stats[b.Lane], int64(b.Batch.Samples())
		s.Waiting -= n
		s.Blocks--
		if reason != "" {
			s.Lost = maps.Clone(s.Lost)
			if s.Lost == nil {
				s.Lost = map[string]int64{}
			}
			s.Lost[reason] += n
		}
		p.stats[b.Lane] = s
		return true
	})
}

func (p *pile) Ack(_ context.Context, a wire.Ack) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return p.broken
	}
	p.forget(func(b *piled) bool {
		return b.Session == a.Session && b.Lane == a.Lane && slices.ContainsFunc(a.Ranges, func(r wire.Range) bool { return r.First <= b.First && b.Seq <= r.Last })
	}, "")
	return nil
}

func (p *pile) Reject(_ context.Context, s queue.Stored, reason string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return p.broken
	}
	p.forget(func(b *piled) bool { return b.Lane == s.Lane && b.Seq == s.Seq }, reason)
	return nil
}

func (p *pile) Changed() <-chan struct{} { return p.changed }

func (p *pile) State(context.Context, string) (map[string][]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.state), p.broken
}

func (p *pile) Append(_ context.Context, c queue.Commit) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(c.Entries) > 0 {
		return errors.New("forwarding produces nothing")
	}
	maps.Copy(p.state, c.State)
	p.commits++
	return p.broken
}

func (p *pile) Stats() map[buffer.Lane]wire.LaneStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.stats)
}

func (p *pile) drained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.blocks) == 0
}

// out counts blocks that were handed out and not given back.
func (p *pile) out() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.blocks {
		if b.out {
			n++
		}
	}
	return n
}

func (p *pile) breakDisk(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}
