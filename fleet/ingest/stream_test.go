package ingest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

func TestStreamTakesBlocksAndAcknowledgesRanges(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	l := r.dial(sohoToken)
	const blocks = 3 * streamBlocks // more than may wait
	seqs := rand.New(rand.NewPCG(1, 2)).Perm(blocks)
	go func() { // frames are in their order, their sequences are not
		for _, n := range seqs {
			seq := buffer.Seq(n + 1)
			l.send(stamp(buffer.Revenue, seq, seq), batchOf(t, buffer.Revenue, seq, 3, note(fmt.Sprint(seq), "x")))
		}
	}()
	l.acked(buffer.Revenue, blocks)
	r.settle()
	want := map[buffer.Source]map[buffer.Lane]Accepted{soho: {buffer.Revenue: {Blocks: blocks, Samples: 3 * blocks, Records: blocks}}}
	if diff := cmp.Diff(want, r.Accepted()); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if got := r.series.count(); got != 3*blocks {
		t.Errorf("the store holds %d samples, want %d", got, 3*blocks)
	}

	// The same block by the other door is a repeat; so is one sent twice here.
	r.send(block(t, buffer.Revenue, 7, 3, note("7", "x")))
	l.send(stamp(buffer.Revenue, 9, 9), batchOf(t, buffer.Revenue, 9, 3, note("9", "x")))
	ack, err := wire.ParseAck(l.hear(wire.Acked))
	if err != nil || !ack.Duplicate {
		t.Errorf("a repeat is acknowledged as %+v (%v)", ack, err)
	}
	l.send(stamp(buffer.Revenue, 9, 9), batchOf(t, buffer.Revenue, 9, 4))
	if got := l.refusal(); got.Status != http.StatusConflict || got.Seq != 9 || got.Session != session || got.Lane != buffer.Revenue {
		t.Errorf("another block of that name is refused as %+v", got)
	}
	if got := r.signs.of(r.signs.conflicts, soho); got != 1 {
		t.Errorf("%d conflicts were noted, want 1", got)
	}
	if diff := cmp.Diff(want, r.Accepted()); diff != "" {
		t.Errorf("accepted after repeats (-want +got):\n%s", diff)
	}
}

func TestStreamTellsClocksAndReports(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	l := r.dial(sohoToken)
	l.say(wire.AppendBeat(nil, 99))
	clocks, err := wire.ParseBeaten(l.hear(wire.Beaten))
	if err != nil || clocks != (wire.Clocks{SentMS: 99, ReceivedMS: 4242}) {
		t.Errorf("clocks %+v (%v)", clocks, err)
	}
	report, err := wire.AppendJSON(nil, wire.Report, wire.Heartbeat{Session: session, SentMS: 100, Goodbye: true})
	if err != nil {
		t.Fatal(err)
	}
	l.say(wire.AppendMessage(report, 99, []byte("of a newer version")))
	l.say(wire.AppendBeat(nil, 101))
	l.hear(wire.Beaten)
	if diff := cmp.Diff([]wire.Heartbeat{{Session: session, SentMS: 77, Version: "v"}, {Session: session, SentMS: 100, Goodbye: true}}, r.signs.beats); diff != "" {
		t.Errorf("heartbeats (-want +got):\n%s", diff)
	}
	if got := r.signs.of(r.signs.beaten, soho); got != 2 {
		t.Errorf("%d beats were noted, want 2", got)
	}
	if got := r.metric("ghostlight_fleet_streams"); got != 1 {
		t.Errorf("%v streams are counted, want 1", got)
	}
}

// A frame that cannot be read is told, and those before the next key frame are
// passed over; nobody else is hurt, and what can be read afterwards is taken.
func TestStreamBeginsAnew(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	other := r.dial(camdenToken)
	l := r.dial(sohoToken)
	l.send(stamp(buffer.Detail, 1, 1), batchOf(t, buffer.Detail, 1, 2))
	l.acked(buffer.Detail, 1)
	torn := l.frame(stamp(buffer.Detail, 2, 2), batchOf(t, buffer.Detail, 2, 2))
	torn[len(torn)/2] ^= 1
	l.say(wire.AppendMessage(nil, wire.Block, torn))
	for seq := buffer.Seq(3); seq < 6; seq++ { // they build on what was torn
		l.send(stamp(buffer.Detail, seq, seq), batchOf(t, buffer.Detail, seq, 2))
	}
	l.hear(wire.Resync)
	l.encoder.Reset()
	for seq := buffer.Seq(2); seq < 6; seq++ {
		l.send(stamp(buffer.Detail, seq, seq), batchOf(t, buffer.Detail, seq, 2))
	}
	l.acked(buffer.Detail, 5) // and nothing else is said
	other.send(stamp(buffer.Detail, 1, 1), batchOf(t, buffer.Detail, 1, 2))
	other.acked(buffer.Detail, 1)
	if got := r.metric("ghostlight_fleet_stream_resyncs_total"); got != 1 {
		t.Errorf("%v times a stream was begun anew, want once", got)
	}
	if soho, camden := r.signs.of(r.signs.malformed, soho), r.signs.of(r.signs.malformed, camden); soho != 1 || camden != 0 {
		t.Errorf("%d and %d malformed frames were noted, want 1 and 0", soho, camden)
	}
	if got := r.Accepted()[soho][buffer.Detail]; got != (Accepted{Blocks: 5, Samples: 10}) {
		t.Errorf("accepted %+v", got)
	}
}

// TestWhatCameTogetherIsAnsweredTogether, however its commits fall.
func TestWhatCameTogetherIsAnsweredTogether(t *testing.T) {
	r := newRig(t, t.TempDir(), func(o *Options) { o.ackTogether = time.Minute })
	l := r.dial(sohoToken)
	var all []byte
	for seq := range buffer.Seq(ackMost - 1) {
		all = wire.AppendMessage(all, wire.Block, l.frame(stamp(buffer.Detail, seq+1, seq+1), batchOf(t, buffer.Detail, seq+1, 2)))
	}
	l.say(wire.AppendBeat(all, 5))
	ack, err := wire.ParseAck(l.hear(wire.Acked))
	want := wire.Ack{Lane: buffer.Detail, Session: session, Ranges: []wire.Range{{First: 1, Last: ackMost - 1}}}
	if diff := cmp.Diff(want, ack); err != nil || diff != "" {
		t.Errorf("%v, acknowledged (-want +got):\n%s", err, diff)
	}
	clocks, err := wire.ParseBeaten(l.hear(wire.Beaten))
	if err != nil || clocks.SentMS != 5 {
		t.Errorf("the beat was answered with %+v, %v", clocks, err)
	}
	l.send(stamp(buffer.Detail, ackMost, ackMost), batchOf(t, buffer.Detail, ackMost, 2)) // alone it waits for nothing
	l.hear(wire.Acked)
	l.say(wire.AppendBeat(nil, 6))
	l.hear(wire.Beaten)
}

func TestStreamOfAFrameWithoutItsState(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	l := r.dial(sohoToken)
	l.frame(stamp(buffer.Detail, 1, 1), batchOf(t, buffer.Detail, 1, 2)) // lost
	l.send(stamp(buffer.Detail, 2, 2), batchOf(t, buffer.Detail, 2, 2))
	l.hear(wire.Resync)
	if got := r.signs.of(r.signs.malformed, soho); got != 0 {
		t.Errorf("%d malformed frames were noted: the node did nothing wrong", got)
	}
}

func TestStreamEndsAfterManyBrokenFrames(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	l := r.dial(sohoToken)
	for range streamBroken + 1 {
		l.say(wire.AppendMessage(nil, wire.Block, []byte("no frame of any version")))
	}
	for range streamBroken {
		l.hear(wire.Resync)
	}
	if _, _, err := l.in.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream goes on: %v", err)
	}
}

// A block that is too large by itself is refused for good, not asked for again.
func TestStreamRefusesABlockBeyondTheLimits(t *testing.T) {
	r := newRig(t, t.TempDir(), func(o *Options) {
		o.Decode = delta.DefaultLimits()
		o.Decode.Samples = 10
	})
	l := r.dial(sohoToken)
	l.send(stamp(buffer.Detail, 1, 1), batchOf(t, buffer.Detail, 1, 2))
	l.acked(buffer.Detail, 1)
	l.send(stamp(buffer.Detail, 2, 2), batchOf(t, buffer.Detail, 2, 20))
	l.hear(wire.Resync) // it may be the stream that is too large
	l.encoder.Reset()
	l.send(stamp(buffer.Detail, 2, 2), batchOf(t, buffer.Detail, 2, 20))
	l.hear(wire.Resync)
	if got := l.refusal(); got.Status != http.StatusUnprocessableEntity || got.Seq != 2 || got.AfterMS != 0 {
		t.Errorf("refused as %+v", got)
	}
}

func TestStreamRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
		status int
		error  string
	}{
		{"journal full", func(o *Options) { o.JournalBytes = 10 }, 503, "journal is full"},
		{"over the series", func(o *Options) { o.Limits.Series = 1 }, 429, "sends more than 1 series"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), tt.change)
			l := r.dial(sohoToken)
			l.send(stamp(buffer.Detail, 3, 5), part("m", 2).Batch)
			got := l.refusal()
			if got.Status != tt.status || got.Seq != 5 || got.AfterMS <= 0 || !strings.Contains(got.Error, tt.error) {
				t.Errorf("refused as %+v, want %d %q", got, tt.status, tt.error)
			}
			if got := r.signs.of(r.signs.malformed, soho); got != 0 {
				t.Error("the sender is blamed")
			}
		})
	}
}

// TestStreamOpensOnlyForNodes by HTTP/2, and only with a hello.
func TestStreamOpensOnlyForNodes(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	if status, answer := r.post(wire.StreamPath, "nobody", nil); status != http.StatusUnauthorized {
		t.Errorf("a stranger was answered %d %s", status, answer)
	}
	if status, answer := r.post(wire.StreamPath, sohoToken, nil); status != http.StatusHTTPVersionNotSupported || !strings.Contains(answer, wire.BlocksPath) {
		t.Errorf("HTTP/1 was answered %d %s", status, answer)
	}
	if got := r.signs.of(r.signs.malformed, soho); got != 0 {
		t.Error("the node is blamed for what a proxy made of its stream")
	}
	for name, message := range map[string][]byte{
		"a beat":          wire.AppendBeat(nil, 1),
		"half a hello":    wire.AppendMessage(nil, wire.Hello, []byte(`{"session`)),
		"a long message":  {byte(wire.Hello), 0xff, 0xff, 0xff, 0xff, 0x0f},
		"a long hello":    wire.AppendMessage(nil, wire.Hello, make([]byte, heartbeatBytes+1)),
		"a beat of bytes": wire.AppendMessage(nil, wire.Beat, nil),
	} {
		before := r.signs.of(r.signs.malformed, camden)
		l := r.open(camdenToken)
		l.say(message)
		if _, _, err := l.in.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the stream goes on: %v", name, err)
		}
		if got := r.signs.of(r.signs.malformed, camden); got != before+1 {
			t.Errorf("%s: %d malformed messages were noted, want 1", name, got-before)
		}
	}
}

// A stream that says nothing for long ends, and so does the oldest of too many.
func TestSilentAndSurplusStreamsEnd(t *testing.T) {
	r := newRig(t, t.TempDir(), func(o *Options) { o.Silence = time.Millisecond })
	silent := r.dial(camdenToken)
	links := []*link{}
	for range streamsPerNode + 1 {
		links = append(links, r.dial(sohoToken))
	}
	for _, l := range []*link{links[0], silent} {
		if _, _, err := l.in.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream goes on: %v", err)
		}
	}
}

// When the fleet stops, streams end well, and what it acknowledged is there.
func TestStreamsEndWhenTheFleetStops(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	l := r.dial(sohoToken)
	l.send(stamp(buffer.Health, 1, 4), batchOf(t, buffer.Health, 1, 2))
	l.acked(buffer.Health, 4)
	want := r.Accepted()
	r.cancel()
	if _, _, err := l.in.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	r.stop()
	r = newRig(t, dir, nil)
	if diff := cmp.Diff(want, r.Accepted()); diff != "" {
		t.Errorf("accepted (-before +after):\n%s", diff)
	}
}

func TestJoin(t *testing.T) {
	r := func(pairs ...buffer.Seq) (out []wire.Range) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, wire.Range{First: pairs[i], Last: pairs[i+1]})
		}
		return out
	}
	for _, tt := range []struct{ in, want []wire.Range }{
		{r(5, 9), r(5, 9)},
		{r(5, 9, 1, 4), r(1, 9)},
		{r(1, 9, 2, 3, 4, 12), r(1, 12)},
		{r(8, 8, 1, 1, 3, 4), r(1, 1, 3, 4, 8, 8)},
	} {
		if diff := cmp.Diff(tt.want, join(slices.Clone(tt.in))); diff != "" {
			t.Errorf("join(%v) (-want +got):\n%s", tt.in, diff)
		}
	}
}
