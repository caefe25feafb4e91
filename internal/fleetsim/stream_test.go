package fleetsim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

const (
	streamFrame    = 1 << 20
	streamBlocks   = 32              // of one stream that may wait for their commit
	forgetAfter    = 5 * time.Minute // without a block the decoder is given up
	silence        = time.Minute     // after which a node is dark
	streamSilences = 4               // times a node may be silent for before its stream ends
)

// A stream is the centre's end of a connection. It goes the way of fleet/ingest:
// it reads in order, while blocks that it read wait for their commit; who writes
// acknowledgements lives only while some wait.
type stream struct {
	p    *process
	link *link
	node int
	idle *time.Timer

	decoder *delta.Decoder // nil until a block comes
	latest  time.Time      // when one came
	told    bool           // the node was told to begin anew, and has not yet
	first   bool           // a block came

	refused    time.Time // when the node was last told to wait
	refusedAge int       // of the uplink then

	slots    chan struct{} // one for each block that waits
	outcomes chan outcome  // as many
	mu       sync.Mutex
	waiting  int // guarded by mu
	acks     sync.WaitGroup
}

// serve is the centre's end until either side ends it.
func (p *process) serve(l *link) {
	s := &stream{
		p: p, link: l, node: l.uplink.node.number,
		slots: make(chan struct{}, streamBlocks), outcomes: make(chan outcome, streamBlocks),
	}
	s.idle = time.AfterFunc(streamSilences*silence, l.endCentre)
	defer s.idle.Stop()
	err := s.read()
	if errors.Is(err, wire.ErrMessage) || errors.Is(err, delta.ErrMalformed) || errors.Is(err, delta.ErrLimit) {
		p.w.problem("node %d: %v", s.node, err)
	}
	s.acks.Wait()
	l.endCentre()
}

// Read reads from the node.
func (s *stream) Read(b []byte) (int, error) {
	since, began := time.Now(), s.link.uplink.node.quiet()
	n, err := s.link.up.read(b)
	s.judgeSilence(since, began)
	s.idle.Reset(streamSilences * silence)
	return n, err
}

func (s *stream) write(messages []byte) error {
	_, err := s.link.down.write(messages)
	return err
}

func (s *stream) read() error {
	messages := wire.NewReader(s, streamFrame)
	kind, body, err := messages.Next()
	if err == nil && kind != wire.Hello {
		err = fmt.Errorf("%w: a stream begins with hello, not with message %d", wire.ErrMessage, kind)
	}
	if err == nil {
		err = s.hello(body)
	}
	for err == nil {
		if kind, body, err = messages.Next(); err == nil {
			err = s.message(kind, body)
		}
	}
	return err
}

func (s *stream) hello(body []byte) error {
	if err := s.heartbeat(body); err != nil {
		return err
	}
	if s.p.w.bug == bugLateGreeting {
		time.Sleep(freshAfterDial)
	}
	greeting := wire.Greeting{ReceivedMS: time.Now().UnixMilli(), SilenceMS: silence.Milliseconds(), FrameBytes: streamFrame}
	if s.p.w.bug == bugSilent {
		greeting.SilenceMS *= 10
	}
	welcome, err := wire.AppendJSON(nil, wire.Welcome, greeting)
	if err != nil {
		return err
	}
	return s.write(welcome)
}

func (s *stream) heartbeat(body []byte) error {
	var hb wire.Heartbeat
	if err := json.Unmarshal(body, &hb); err != nil {
		return fmt.Errorf("%w: heartbeat: %w", wire.ErrMessage, err)
	}
	return nil
}

func (s *stream) message(kind wire.MessageType, body []byte) error {
	switch kind {
	case wire.Block:
		return s.block(body)
	case wire.Beat:
		sent, err := wire.ParseBeat(body)
		if err != nil {
			return err
		}
		s.forget()
		return s.write(wire.AppendBeaten(nil, wire.Clocks{SentMS: sent, ReceivedMS: time.Now().UnixMilli()}))
	case wire.Sign:
		s.forget()
	case wire.Report, wire.Hello:
		return s.heartbeat(body)
	}
	return nil // of a newer version
}

// forget gives the decoder up if no block came for long.
func (s *stream) forget() {
	if time.Since(s.latest) >= forgetAfter {
		s.decoder = nil
		s.tell(false)
	}
}

var (
	errPassedOver = errors.New("frame was passed over")
	errStopping   = errors.New("the centre is stopping")
)

// block takes one frame. The error ends the stream; that a block is refused does
// not.
func (s *stream) block(frame []byte) error {
	select {
	case s.slots <- struct{}{}: // or wait, and read nothing meanwhile
	case <-s.p.stop:
		return errStopping
	}
	at, batch, err := s.decode(frame)
	if err != nil {
		<-s.slots
		if errors.Is(err, errPassedOver) {
			return nil
		}
		return err
	}
	s.p.w.judgeOrder(s, at, batch)
	s.judgePause()
	if s.p.isFull() {
		<-s.slots
		s.refused, s.refusedAge = time.Now(), s.link.uplink.age()
		message, err := s.refusal(nil, at, errFull)
		if err != nil {
			return err
		}
		return s.write(message)
	}
	s.expect()
	if s.p.w.bug == bugAckEarly {
		s.outcomes <- outcome{of: at, held: wire.Range{First: at.Start(), Last: at.Seq}}
		select {
		case s.p.posts <- post{node: s.node, at: at, batch: batch, digest: delta.Digest(batch), outcome: make(chan outcome, 1)}:
		case <-s.p.stop:
		}
		return nil
	}
	select {
	case s.p.posts <- post{node: s.node, at: at, batch: batch, digest: delta.Digest(batch), outcome: s.outcomes}:
	case <-s.p.stop:
	}
	return nil
}

// decode reads a frame, and tells the node to begin anew if it lacks the state.
func (s *stream) decode(frame []byte) (delta.Stamp, delta.Batch, error) {
	s.link.set(func(l *link) {
		if l.amnesia {
			s.decoder, l.amnesia = nil, false
		}
	})
	if s.decoder == nil {
		s.decoder = delta.NewDecoder(s.p.codec)
	}
	s.latest = time.Now()
	at, batch, err := s.decoder.Decode(frame)
	switch {
	case err == nil:
		s.tell(false)
		return at, batch, nil
	case !errors.Is(err, delta.ErrResync):
		return at, batch, err
	case s.told:
		return at, batch, errPassedOver
	}
	s.tell(true)
	s.p.resynced()
	s.judgeAnew()
	if s.p.w.bug == bugNoResync {
		return at, batch, errPassedOver
	}
	if err := s.write(wire.AppendMessage(nil, wire.Resync, nil)); err != nil {
		return at, batch, err
	}
	return at, batch, errPassedOver
}

// tell notes whether the node is to begin anew.
func (s *stream) tell(anew bool) {
	if s.told == anew {
		return
	}
	s.told = anew
	s.link.set(func(l *link) { l.asked = anew })
}

func (c *centre) resynced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resyncs++
}

func (s *stream) refusal(dst []byte, of delta.Stamp, why error) ([]byte, error) {
	r := wire.StreamRefusal{Session: of.Session, Lane: of.Lane, Seq: of.Seq, Status: status(why), Error: why.Error()}
	if errors.Is(why, errFull) && s.p.w.bug != bugNoPause {
		r.AfterMS = fullFor.Milliseconds()
	}
	return wire.AppendJSON(dst, wire.Refused, r)
}

// expect notes that one more block waits, and sees to it that it is answered.
func (s *stream) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting++; s.waiting == 1 {
		s.acks.Go(s.answer)
	}
}

// answer answers blocks as they are committed, until none waits or the centre
// dies.
func (s *stream) answer() {
	for {
		var first outcome
		select {
		case first = <-s.outcomes:
		case <-s.p.stop:
			return
		}
		n, messages := s.collect(first)
		if s.write(messages) != nil {
			s.link.endCentre()
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
		if o.err != nil {
			if with, err := s.refusal(messages, o.of, o.err); err == nil {
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
