package ingest

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

// write sends messages to the node. One that does not read them is cut off.
func (s *stream) write(messages []byte) error {
	if len(messages) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write(messages); err != nil {
		return err
	}
	if err := s.rc.Flush(); err != nil {
		return err
	}
	return s.rc.SetWriteDeadline(time.Time{})
}

// refuse tells the node what becomes of a block that was not taken.
func (s *stream) refuse(of buffer.Header, err error) error {
	message, err := s.refusal(nil, of, err)
	if err != nil {
		return err
	}
	return s.write(message)
}

func (s *stream) refusal(dst []byte, of buffer.Header, err error) ([]byte, error) {
	r := s.i.refused(s.source, err)
	return wire.AppendJSON(dst, wire.Refused, wire.StreamRefusal{
		Session: of.Session, Lane: of.Lane, Seq: of.Seq, Status: r.status, Error: r.Error(), AfterMS: r.after().Milliseconds(),
	})
}

// expect notes that one more block waits, and sees to it that it is answered.
func (s *stream) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting++; s.waiting == 1 {
		s.acks.Go(s.answer)
	}
}

// say tells the node something that may wait for the blocks before it, so that one
// packet holds both.
func (s *stream) say(message []byte) error {
	s.mu.Lock()
	if s.waiting > 0 {
		s.aside = append(s.aside, message...)
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	return s.write(message)
}

// answer answers blocks as they are committed, until none waits or the fleet
// stops.
func (s *stream) answer() {
	for {
		first, err := s.i.await(s.outcomes)
		if err != nil {
			s.end() // the node sends again what was not answered
			return
		}
		outcomes := s.gather(first)
		if s.write(s.answers(outcomes)) != nil {
			s.end()
		}
		for range outcomes {
			<-s.slots
		}
		s.mu.Lock()
		s.waiting -= len(outcomes)
		done := s.waiting == 0
		var rest []byte
		if done {
			rest, s.aside = s.aside, nil
		}
		s.mu.Unlock()
		if len(rest) > 0 && s.write(rest) != nil {
			s.end()
		}
		if done {
			return
		}
	}
}

const (
	// ackTogether is how long an answer waits for others of what came with its
	// block. TCP holds its own acknowledgement back for 40 ms: one packet does for
	// all of them.
	ackTogether = 25 * time.Millisecond
	// ackMost are not kept waiting: the node is sending what it had to keep.
	ackMost = streamBlocks / 4
)

// gather takes what is known of blocks: all that came together, if it is known soon.
func (s *stream) gather(first outcome) []outcome {
	outcomes := []outcome{first}
	timer := time.NewTimer(s.i.o.ackTogether)
	defer timer.Stop()
	for len(outcomes) < ackMost && !s.through(len(outcomes)) {
		select {
		case o := <-s.outcomes:
			outcomes = append(outcomes, o)
		case <-s.rests:
		case <-s.i.ended:
			return outcomes
		case <-timer.C:
			return s.gatherKnown(outcomes)
		}
	}
	return s.gatherKnown(outcomes)
}

// gatherKnown takes what is known already.
func (s *stream) gatherKnown(outcomes []outcome) []outcome {
	for {
		select {
		case o := <-s.outcomes:
			outcomes = append(outcomes, o)
		default:
			return outcomes
		}
	}
}

// through reports whether n answers are all that is due, and nothing more is being
// read.
func (s *stream) through(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reading && s.waiting == n
}

// An ackKey is what one Acked message is of.
type ackKey struct {
	session   buffer.Session
	lane      buffer.Lane
	duplicate bool
}

// answers makes messages of what became of blocks, and of what was to be said
// besides.
func (s *stream) answers(outcomes []outcome) (messages []byte) {
	var keys []ackKey
	held := map[ackKey][]wire.Range{}
	for _, o := range outcomes {
		s.i.batches.Release(o.size)
		if err := s.i.settled(o); err != nil {
			if with, err := s.refusal(messages, o.of, err); err == nil {
				messages = with
			}
			continue
		}
		key := ackKey{o.of.Session, o.of.Lane, o.duplicate}
		if held[key] == nil {
			keys = append(keys, key)
		}
		held[key] = append(held[key], o.held)
	}
	for _, key := range keys {
		messages = wire.AppendAck(messages, wire.Ack{Session: key.session, Lane: key.lane, Ranges: join(held[key]), Duplicate: key.duplicate})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	messages, s.aside = append(messages, s.aside...), nil
	return messages
}

// join makes of ranges as few as there can be, in order.
func join(ranges []wire.Range) []wire.Range {
	slices.SortFunc(ranges, func(a, b wire.Range) int { return cmp.Compare(a.First, b.First) })
	out := ranges[:1]
	for _, r := range ranges[1:] {
		if last := &out[len(out)-1]; r.First <= last.Last+1 {
			last.Last = max(last.Last, r.Last)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// streams are those that are open.
type streams struct {
	most int // of one node
	mu   sync.Mutex
	open map[buffer.Source][]*stream // guarded by mu; the oldest first
}

// streamsPerNode bounds the streams of one node: it has one, and those that it
// lost without the fleet having noticed yet.
const streamsPerNode = 4

// enter notes a stream, and ends its node's oldest if they are too many.
func (t *streams) enter(s *stream) (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[s.source] = append(t.open[s.source], s); len(t.open[s.source]) > t.most {
		t.open[s.source][0].end()
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open[s.source] = slices.DeleteFunc(t.open[s.source], func(o *stream) bool { return o == s })
		if len(t.open[s.source]) == 0 {
			delete(t.open, s.source)
		}
	}
}

// count is how many streams are open.
func (t *streams) count() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, list := range t.open {
		n += len(list)
	}
	return n
}
