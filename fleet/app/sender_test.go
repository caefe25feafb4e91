package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// A sender is a node that sends each block until it is acknowledged, and now and
// then once more.
type sender struct {
	venue   string
	blocks  int
	start   int64 // Unix milliseconds of the first sample
	fleet   *atomic.Pointer[child]
	acked   *atomic.Int64
	quota   *atomic.Int64 // how many blocks all senders together may have acknowledged by now; nil: any number
	streams bool          // by a stream, else by POST
	link    *link         // nil: none is open
}

const (
	samplesPerBlock = 3
	session         = 77
	atOnce          = 8 // blocks that are under way on a stream
)

// value is an exact integer of up to 53 bits, another for each sample.
func (s *sender) value(seq, i int) int64 {
	return 1<<52 + int64(len(s.venue))<<40 + int64(seq)*samplesPerBlock + int64(i)
}

func (s *sender) at(seq, i int) int64 { return s.start + int64(seq)*1000 + int64(i)*100 }

func (s *sender) batch(seq int) delta.Batch {
	series := delta.Series{
		Labels: []delta.Label{{Name: "__name__", Value: "crash_test_total"}},
		Meta:   delta.Meta{Type: delta.Counter, Help: "A counter."},
	}
	for i := range samplesPerBlock {
		series.Samples = append(series.Samples, delta.Sample{Time: s.at(seq, i), Value: float64(s.value(seq, i))})
	}
	body := fmt.Sprintf(`{"ledger":"L","outcomes":[{"seq":%d,"time_ms":%d,"kind":"payment","good":true,"amount_minor":%d,"currency":"EUR"}]}`, seq, s.at(seq, 0), seq)
	record := delta.Record{Kind: "edge.outcomes", Key: fmt.Sprintf("L:%d-%d", seq, seq), Time: s.at(seq, 0), Body: []byte(body)}
	return delta.Batch{Series: []delta.Series{series}, Records: []delta.Record{record}}
}

func (s *sender) run(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := 1
	if s.streams {
		n = atOnce
	}
	for chunk := range slices.Chunk(rng.Perm(s.blocks), n) {
		for s.quota != nil && s.acked.Load() >= s.quota.Load() {
			time.Sleep(time.Millisecond)
		}
		var left []int
		for _, seq := range chunk {
			left = append(left, slices.Repeat([]int{seq + 1}, 1+rng.IntN(2))...)
		}
		for deadline := time.Now().Add(time.Minute); len(left) > 0; {
			if time.Now().After(deadline) {
				t.Errorf("%s: blocks %d were not acknowledged in time", s.venue, left)
				return
			}
			done := s.deliver(t, left)
			if len(done) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			for _, seq := range done {
				if i := slices.Index(left, seq); i >= 0 {
					left = slices.Delete(left, i, i+1)
				}
			}
		}
		s.acked.Add(int64(len(chunk)))
	}
	s.hangUp()
}

// deliver sends blocks and returns those that are acknowledged.
func (s *sender) deliver(t *testing.T, seqs []int) (acked []int) {
	if s.streams {
		return s.stream(t, seqs)
	}
	for _, seq := range seqs {
		if !s.post(t, seq) {
			break
		}
		acked = append(acked, seq)
	}
	return acked
}

// block seals a block.
func (s *sender) block(t *testing.T, seq int) []byte {
	b := s.batch(seq)
	payload, err := delta.Encode(nil, b)
	if err != nil {
		t.Error(err)
	}
	lo, hi := b.TimeRange()
	return buffer.Seal(buffer.Header{
		Kind: buffer.SelfContained, Lane: buffer.Revenue, Session: session, Seq: buffer.Seq(seq), MinTime: lo, MaxTime: hi, Samples: samplesPerBlock, Records: 1,
	}, payload)
}

// post reports whether the block was acknowledged.
func (s *sender) post(t *testing.T, seq int) bool {
	req, err := http.NewRequest(http.MethodPost, s.fleet.Load().url+wire.BlocksPath, bytes.NewReader(s.block(t, seq)))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer token-of-"+s.venue)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	var ack wire.Ack
	return res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(&ack) == nil && len(ack.Ranges) == 1
}

// A link is an open stream to one fleet.
type link struct {
	to      *child
	out     *io.PipeWriter
	in      *wire.Reader
	encoder *delta.Encoder
	close   func()
}

// linkTimeout ends a stream whose fleet says nothing any more.
const linkTimeout = 20 * time.Second

// dial opens a stream to the fleet of the moment, unless one is open.
func (s *sender) dial() error {
	to := s.fleet.Load()
	if s.link != nil && s.link.to == to {
		return nil
	}
	s.hangUp()
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	ctx, cancel := context.WithCancel(context.Background())
	body, out := io.Pipe()
	l := &link{to: to, out: out, encoder: delta.NewEncoder(codec)}
	l.close = func() {
		cancel()
		out.Close()
		transport.CloseIdleConnections()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url+wire.StreamPath, body)
	if err != nil {
		l.close()
		return err
	}
	req.Header.Set("Authorization", "Bearer token-of-"+s.venue)
	res, err := transport.RoundTrip(req)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("stream was answered %s", res.Status)
	}
	if err != nil {
		l.close()
		return err
	}
	l.in, s.link = wire.NewReader(res.Body, 1<<20), l
	hello, err := wire.AppendJSON(nil, wire.Hello, wire.Heartbeat{Session: session, SentMS: time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	_, err = out.Write(hello)
	return err
}

func (s *sender) hangUp() {
	if s.link != nil {
		s.link.close()
		s.link = nil
	}
}

// stream sends blocks, all at once, and returns those that are acknowledged.
func (s *sender) stream(t *testing.T, seqs []int) (acked []int) {
	if err := s.dial(); err != nil {
		s.hangUp()
		return nil
	}
	defer time.AfterFunc(linkTimeout, s.link.close).Stop()
	for _, seq := range seqs {
		frame, err := s.link.encoder.Encode(nil, delta.Stamp{Lane: buffer.Revenue, Session: session, Seq: buffer.Seq(seq)}, s.batch(seq))
		if err != nil {
			t.Error(err)
			return nil
		}
		if _, err := s.link.out.Write(wire.AppendMessage(nil, wire.Block, frame)); err != nil {
			s.hangUp()
			return nil
		}
	}
	// Each block is answered, by an acknowledgement or a refusal; one may answer
	// several.
	left := slices.Clone(seqs)
	for len(left) > 0 {
		kind, body, err := s.link.in.Next()
		if err != nil || kind == wire.Refused || kind == wire.Resync {
			s.hangUp()
			break
		}
		if kind != wire.Acked {
			continue
		}
		ack, err := wire.ParseAck(body)
		if err != nil {
			t.Error(err)
			return acked
		}
		left = slices.DeleteFunc(left, func(seq int) bool {
			in := slices.ContainsFunc(ack.Ranges, func(r wire.Range) bool { return r.First <= buffer.Seq(seq) && buffer.Seq(seq) <= r.Last })
			if in {
				acked = append(acked, seq)
			}
			return in
		})
	}
	return acked
}
