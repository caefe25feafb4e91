package forward_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

func TestAFleetThatDecodesNothingGetsRequests(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				b.fleet.set(func(f *fleet) { f.lostState = true })
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		b.add(buffer.Revenue, "r")
		time.Sleep(10 * time.Second)
		if s := b.fwd.Status(); !b.queue.drained() || s.Mode != forward.ModePost {
			t.Errorf("status %+v", s)
		}
	})
}

func TestAWayWithoutStreamsIsTriedAgain(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.line.refuse = errors.New("malformed HTTP response")
		b.start()
		defer func() { b.stop() }()
		time.Sleep(2 * time.Second)
		if s := b.fwd.Status(); !s.Up || s.Mode != forward.ModePost {
			t.Fatalf("status %+v", s)
		}
		time.Sleep(20 * time.Minute)
		if n := b.line.dialed(); n < 6 || n > 12 {
			t.Errorf("%d streams were tried in 20 minutes", n)
		}
		if n := b.log.count("reachable"); n > 2 {
			t.Errorf("%d lines about the way", n)
		}
		b.line.set(func(l *line) { l.refuse = nil })
		b.add(buffer.Detail, "d")
		time.Sleep(5*time.Minute + time.Second)
		if s := b.fwd.Status(); s.Mode != forward.ModeStream || !b.queue.drained() {
			t.Errorf("not back on a stream: %+v", s)
		}
	})
}

// A proxy that waits for the end of the body before it passes a request on.
func TestAProxyThatBuffersGetsRequests(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.line.hang = true
		b.add(buffer.Revenue, "r")
		b.start()
		defer func() { b.stop() }()
		time.Sleep(25 * time.Second)
		if s := b.fwd.Status(); !s.Up || s.Mode != forward.ModePost || !b.queue.drained() {
			t.Errorf("status %+v", s)
		}
	})
}

func TestAStreamThatBreaksIsBegunAgainWithoutAWord(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.start()
		defer func() { b.stop() }()
		for i := range 20 {
			b.add(buffer.Health, fmt.Sprintf("h%d", i))
			time.Sleep(10 * time.Second)
			b.line.drop()
		}
		time.Sleep(10 * time.Second)
		if n := b.log.count("reachable"); n != 1 {
			t.Errorf("%d lines about the way, want one at the start", n)
		}
		if s := b.fwd.Status(); !s.Up || s.Streams != 21 || len(b.fleet.names()) != 20 {
			t.Errorf("fleet has %d blocks, status %+v", len(b.fleet.names()), s)
		}
	})
}

func TestABlockTooLongForAFrameGoesByRequest(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.fleet.frameBytes = 2 << 10
		b.queue.add(queue.Entry{Lane: buffer.Revenue, Batch: noise("long", 8<<10)})
		b.start()
		defer func() { b.stop() }()
		time.Sleep(5 * time.Second)
		if !b.queue.drained() || b.fwd.Status().Mode != forward.ModePost {
			t.Errorf("status %+v", b.fwd.Status())
		}
	})
}

func TestStrangersAreNotTheFleet(t *testing.T) {
	for name, says := range map[string]string{"text": "<html>Welcome</html>", "other": string(wire.AppendMessage(nil, wire.Acked, nil)), "empty": string(wire.AppendMessage(nil, wire.Welcome, []byte("{}")))} {
		t.Run(name, func(t *testing.T) {
			inStream(t, func(t *testing.T, b *bench) {
				b.line.stranger = []byte(says)
				b.net.cut = true
				b.add(buffer.Revenue, "r")
				b.start()
				defer func() { b.stop() }()
				time.Sleep(time.Minute)
				if s := b.fwd.Status(); s.Up || s.Streams != 0 {
					t.Errorf("status %+v", s)
				}
				if n := b.line.dialed(); n > 40 {
					t.Errorf("%d tries in a minute", n)
				}
			})
		})
	}
}
