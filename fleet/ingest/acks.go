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

// answer answers blocks as they are committed, until none waits or the fleet
// stops.
func (s *stream) answer() {
	for {
		first, err := s.i.await(s.outcomes)
		if err != nil {
			s.end() // the node sends again what was not answered
			return
		}
		n, messages := s.collect(first)
		if len(messages) > 0 && s.write(messages) != nil {
			s.end()
		}
		for range n {
			<-s.slots
		}
		s.mu.Lock()
		s.waiting -= n
		done := s.waiting == 0
		s.mu.Unlock()
		if done {
			return
		}
	}
}

// An ackKey is what one Acked message is of.
type ackKey struct {
	session   buffer.Session
	lane      buffer.Lane
	duplicate bool
}

// collect makes messages of what is known by now of the n blocks that it takes.
func (s *stream) collect(o outcome) (n int, messages []byte) {
	var keys []ackKey
	held := map[ackKey][]wire.Range{}
	for more := true; more; {
		n++
		s.i.batches.Release(o.size)
		if err := s.i.settled(o); err != nil {
			if with, err := s.refusal(messages, o.of, err); err == nil {
				messages = with
			}
		} else {
			key := ackKey{o.of.Session, o.of.Lane, o.duplicate}
			if held[key] == nil {
				keys = append(keys, key)
			}
			held[key] = append(held[key], o.held)
		}
		select {
		case o = <-s.outcomes:
		default:
			more = false
		}
	}
	for _, key := range keys {
		messages = wire.AppendAck(messages, wire.Ack{Session: key.session, Lane: key.lane, Ranges: join(held[key]), Duplicate: key.duplicate})
	}
	return n, messages
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
