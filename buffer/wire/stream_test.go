package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

func TestMessagesComeBack(t *testing.T) {
	ack := wire.Ack{Session: 1<<64 - 1, Lane: buffer.Logs, Duplicate: true, Ranges: []wire.Range{{First: 1, Last: 1}, {First: 9, Last: 1 << 40}}}
	clocks := wire.Clocks{SentMS: math.MinInt64, ReceivedMS: math.MaxInt64}
	long := bytes.Repeat([]byte("frame"), 20_000)
	out := wire.AppendAck(nil, ack)
	out = wire.AppendBeat(out, -5)
	out = wire.AppendBeaten(out, clocks)
	out = wire.AppendMessage(out, wire.Block, long)
	out = wire.AppendMessage(out, wire.Resync, nil)

	r := wire.NewReader(iotest{bytes.NewReader(out)}, int64(len(long)))
	next := func(want wire.MessageType) []byte {
		t.Helper()
		got, body, err := r.Next()
		if err != nil || got != want {
			t.Fatalf("message %d: %v, want %d", got, err, want)
		}
		return body
	}
	gotAck, err := wire.ParseAck(next(wire.Acked))
	if d := cmp.Diff(ack, gotAck); err != nil || d != "" {
		t.Errorf("ack: %v\n%s", err, d)
	}
	if sent, err := wire.ParseBeat(next(wire.Beat)); err != nil || sent != -5 {
		t.Errorf("beat: %d, %v", sent, err)
	}
	if got, err := wire.ParseBeaten(next(wire.Beaten)); err != nil || got != clocks {
		t.Errorf("clocks: %+v, %v", got, err)
	}
	if body := next(wire.Block); !bytes.Equal(body, long) {
		t.Errorf("frame of %d bytes came as %d", len(long), len(body))
	}
	next(wire.Resync)
	if _, _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// iotest reads a byte at a time.
type iotest struct{ r io.Reader }

func (i iotest) Read(p []byte) (int, error) { return i.r.Read(p[:min(len(p), 1)]) }

func TestBadMessages(t *testing.T) {
	whole := wire.AppendMessage(nil, wire.Block, []byte("frame"))
	for n := 1; n < len(whole); n++ {
		if _, _, err := wire.NewReader(bytes.NewReader(whole[:n]), 100).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if _, _, err := wire.NewReader(bytes.NewReader(whole), 4).Next(); !errors.Is(err, wire.ErrMessage) {
		t.Errorf("too long: %v", err)
	}
	for _, body := range [][]byte{nil, {1, 0, 0, 0}, {9, 0, 0, 0, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0, 0, 0, 5}, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80}} {
		if _, err := wire.ParseAck(body); !errors.Is(err, wire.ErrMessage) {
			t.Errorf("ack %v: %v", body, err)
		}
	}
	for _, body := range [][]byte{nil, {0x80}, {1, 1}} {
		if _, err := wire.ParseBeat(body); !errors.Is(err, wire.ErrMessage) {
			t.Errorf("beat %v: %v", body, err)
		}
		if _, err := wire.ParseBeaten(body); len(body) < 2 && !errors.Is(err, wire.ErrMessage) {
			t.Errorf("clocks %v: %v", body, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(wire.AppendBeat(wire.AppendAck(nil, wire.Ack{Lane: buffer.Detail, Ranges: []wire.Range{{First: 3, Last: 5}}}), 7))
	f.Add([]byte{2, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := wire.NewReader(bytes.NewReader(in), 1<<20)
		for {
			kind, body, err := r.Next()
			if err != nil {
				return
			}
			switch kind {
			case wire.Acked:
				a, err := wire.ParseAck(body)
				if again := wire.AppendAck(nil, a); err == nil && len(again) < 10 {
					t.Errorf("%+v became %v", a, again)
				}
			case wire.Beat:
				_, _ = wire.ParseBeat(body)
			case wire.Beaten:
				_, _ = wire.ParseBeaten(body)
			}
		}
	})
}
