package forward_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

const token = "a-node's-token"

// ahead is how far the fleet's clock is ahead.
const ahead = time.Minute

// A fleet stores blocks the way the centre does: once each, whichever way they
// come, and it refuses another content under a number it has.
type fleet struct {
	mu       sync.Mutex
	blocks   map[blockKey][16]byte // digests
	order    []string              // metric names as they arrived for the first time
	arrived  map[string]time.Time
	byLane   map[buffer.Lane]int64 // samples
	reports  []wire.Heartbeat
	reportAt []time.Time
	counts   tally
	verdict  func(s delta.Stamp) (status int, after time.Duration)

	silence    time.Duration // that the greeting tells
	frameBytes int64
	ackAfter   time.Duration // how long a commit takes
	deaf       bool          // reads and says nothing
	forgetful  bool          // acknowledges nothing
	lostState  bool          // the next frame finds no state
	calendar   []byte        // body of the calendar; nil: this fleet has none
	besides    []byte        // messages that follow each greeting
}

// A tally is what the fleet counted.
type tally struct {
	samples int64
	streams int
	beats   int // on streams
	signs   int // likewise
	keys    int // key frames

	calendars int // sent
}

func (f *fleet) tally() tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

type blockKey struct {
	session buffer.Session
	lane    buffer.Lane
	seq     buffer.Seq
}

func newFleet() *fleet {
	return &fleet{blocks: map[blockKey][16]byte{}, arrived: map[string]time.Time{}, byLane: map[buffer.Lane]int64{}, silence: 15 * time.Second, frameBytes: 4 << 20}
}

func (f *fleet) set(change func(*fleet)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fleet) decide(verdict func(delta.Stamp) (int, time.Duration)) {
	f.set(func(f *fleet) { f.verdict = verdict })
}

// take stores a block or says why not.
func (f *fleet) take(at delta.Stamp, b delta.Batch) (duplicate bool, status int, after time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.verdict != nil {
		if status, after := f.verdict(at); status != 0 {
			return false, status, after
		}
	}
	k, digest := blockKey{at.Session, at.Lane, at.Seq}, delta.Digest(b)
	held, duplicate := f.blocks[k]
	if duplicate {
		if held != digest {
			return false, http.StatusConflict, 0
		}
		return true, 0, 0
	}
	f.blocks[k] = digest
	f.counts.samples += int64(b.Samples())
	f.byLane[at.Lane] += int64(b.Samples())
	if len(b.Series) > 0 {
		name := b.Series[0].Labels[0].Value
		f.order = append(f.order, name)
		f.arrived[name] = time.Now()
	}
	return false, 0, 0
}

func (f *fleet) hear(h wire.Heartbeat) {
	f.reports, f.reportAt = append(f.reports, h), append(f.reportAt, time.Now())
}

func (f *fleet) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.order)
}

func (f *fleet) at(name string) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.arrived[name]
	return t, ok
}

func (f *fleet) told() []wire.Heartbeat {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reports)
}

// serve is the far end of one stream, until it breaks or the node ends it.
func (f *fleet) serve(c *lineConn) {
	defer c.Close()
	if err := f.serveStream(c); err == nil {
		c.CloseWrite() //nolint:errcheck // cannot fail
		<-c.out.gone   // the node has read what was said
	}
}

func (f *fleet) serveStream(c io.ReadWriter) error {
	r := wire.NewReader(c, 4<<20)
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		return err
	}
	dec := delta.NewDecoder(codec)
	lost := false
	for {
		t, body, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.mu.Lock()
		deaf := f.deaf
		f.mu.Unlock()
		if deaf {
			continue
		}
		switch t {
		case wire.Hello, wire.Report:
			err = f.report(c, t, body)
		case wire.Beat:
			err = f.beat(c, body)
		case wire.Sign:
			f.mu.Lock()
			f.counts.signs++
			f.mu.Unlock()
		case wire.Block:
			lost, err = f.frame(c, dec, body, lost)
		}
		if err != nil {
			return err
		}
	}
}

func (f *fleet) report(c io.Writer, t wire.MessageType, body []byte) error {
	var h wire.Heartbeat
	if err := json.Unmarshal(body, &h); err != nil {
		return err
	}
	f.mu.Lock()
	f.hear(h)
	greeting := wire.Greeting{ReceivedMS: time.Now().Add(ahead).UnixMilli(), SilenceMS: f.silence.Milliseconds(), FrameBytes: f.frameBytes}
	if t == wire.Hello {
		f.counts.streams++
	}
	besides := f.besides
	f.mu.Unlock()
	if t != wire.Hello {
		return nil
	}
	out, err := wire.AppendJSON(nil, wire.Welcome, greeting)
	if err != nil {
		return err
	}
	out = append(out, besides...)
	if calendar := f.calendarFor(h); calendar != nil {
		f.set(func(f *fleet) { f.counts.calendars++ })
		out = wire.AppendMessage(out, wire.Shows, calendar)
	}
	_, err = c.Write(out)
	return err
}

// calendarFor is the calendar that a node does not hold yet, nil if it has it or
// wants none.
func (f *fleet) calendarFor(h wire.Heartbeat) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.Sum256(f.calendar)
	if h.Calendar == "" || h.Calendar == hex.EncodeToString(sum[:8]) {
		return nil
	}
	return f.calendar
}

func (f *fleet) beat(c io.Writer, body []byte) error {
	sent, err := wire.ParseBeat(body)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.counts.beats++
	f.mu.Unlock()
	_, err = c.Write(wire.AppendBeaten(nil, wire.Clocks{SentMS: sent, ReceivedMS: time.Now().Add(ahead).UnixMilli()}))
	return err
}

// frame decodes one block and answers it. After a frame without its state all are
// passed over until a key frame comes.
func (f *fleet) frame(c io.Writer, dec *delta.Decoder, frame []byte, lost bool) (bool, error) {
	key := frame[0]&1 != 0
	f.mu.Lock()
	if key {
		f.counts.keys++
	}
	fail, ackAfter, forgetful := f.lostState, f.ackAfter, f.forgetful
	f.lostState = false
	f.mu.Unlock()
	if lost && !key {
		return true, nil
	}
	if fail {
		_, err := c.Write(wire.AppendMessage(nil, wire.Resync, nil))
		return true, err
	}
	at, b, err := dec.Decode(frame)
	if err != nil {
		return true, err
	}
	if ackAfter > 0 {
		time.Sleep(ackAfter)
	}
	duplicate, status, after := f.take(at, b)
	if forgetful {
		return false, nil
	}
	var out []byte
	if status != 0 {
		refusal := wire.StreamRefusal{Session: at.Session, Lane: at.Lane, Seq: at.Seq, Status: status, Error: "so it was decided", AfterMS: after.Milliseconds()}
		if out, err = wire.AppendJSON(nil, wire.Refused, refusal); err != nil {
			return false, err
		}
	} else {
		out = wire.AppendAck(nil, wire.Ack{Session: at.Session, Lane: at.Lane, Ranges: []wire.Range{{First: at.Start(), Last: at.Seq}}, Duplicate: duplicate})
	}
	_, err = c.Write(out)
	return false, err
}
