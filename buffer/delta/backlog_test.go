package delta_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// What is sent behind fresh data does not spoil how that is coded.
func TestBacklogLeavesFreshDataCheap(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	sizes := func(backlog bool) (n int) {
		enc := delta.NewEncoder(codec)
		for k := range 20 {
			frame, err := enc.Encode(nil, stamp(1000+k), long(300, 1000+k))
			if err != nil {
				t.Fatal(err)
			}
			if k > 4 {
				n += len(frame)
			}
			if backlog {
				if _, err := enc.Encode(nil, stamp(900-k), long(300, 900-k)); err != nil {
					t.Fatal(err)
				}
			}
		}
		return n
	}
	if alone, mixed := sizes(false), sizes(true); mixed > alone*3/2 {
		t.Errorf("fresh frames take %d bytes, with a backlog between them %d", alone, mixed)
	}
}

// A backlog that comes newest first, in merged blocks between fresh ones, costs no
// more than the stream would have.
func TestBacklogIsAsCheapAsTheStream(t *testing.T) {
	codec, node := newCodec(t, delta.DefaultLimits()), newVenue(12)
	var scrapes []delta.Batch
	for range 140 {
		scrapes = append(scrapes, node.scrape())
	}
	backlog, fresh := scrapes[:120], scrapes[120:]
	alone := delta.NewEncoder(codec)
	stream := 0
	for k, b := range backlog {
		frame, err := alone.Encode(nil, stamp(k+1), b)
		if err != nil {
			t.Fatal(err)
		}
		if k >= 20 { // without the dictionary, and what had to be learned
			stream += len(frame)
		}
	}
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	late := 0
	for k, b := range fresh {
		for _, f := range []goldenFrame{
			{stamp(121 + k), b},
			{delta.Stamp{Lane: buffer.Detail, Session: 7, First: buffer.Seq(115 - 6*k), Seq: buffer.Seq(120 - 6*k)}, delta.Merge(backlog[114-6*k : 120-6*k]...)},
		} {
			frame, err := enc.Encode(nil, f.at, f.b)
			if err != nil {
				t.Fatal(err)
			}
			at, got, err := dec.Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(f.b, got, sameBits()); d != "" || at != f.at {
				t.Fatalf("block %+v, got %+v (-want +got):\n%s", f.at, at, d)
			}
			if f.at.First != 0 && f.at.Seq <= 100 {
				late += len(frame)
			}
		}
	}
	if late > stream*11/10 {
		t.Errorf("the backlog takes %d bytes, as a stream %d", late, stream)
	}
}

// What a backlog takes in memory is given back once it is drained, on both sides.
func TestDrainedBacklogIsForgotten(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	var sizes [2][]int64
	for k := range 40 {
		b, at := long(300, 1000+k), stamp(1000+k)
		if k == 1 {
			b, at = long(300, 900), stamp(900)
		}
		frame, err := enc.Encode(nil, at, b)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := dec.Decode(frame); err != nil || !cmp.Equal(b, got, sameBits()) {
			t.Fatalf("frame %d: %v", k, err)
		}
		sizes[0], sizes[1] = append(sizes[0], enc.StateBytes()), append(sizes[1], dec.StateBytes())
		dec.Compact()
	}
	for side, n := range sizes {
		if n[0] != n[39] || n[1] < n[0]*5/4 || n[32] != n[1] {
			t.Errorf("side %d: %d bytes before the backlog, %d with it, %d late, %d at the end", side, n[0], n[1], n[32], n[39])
		}
	}
}

// What is aside goes by sequence where it can: a clock that is set back does not
// make fresh frames old, nor old ones fresh.
func TestWhatIsAside(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc := delta.NewEncoder(codec)
	const aside, hour, other = 8, 240, 9 // 240 scrapes
	for i, f := range []struct {
		session, first, seq uint64
		scrape              int
		want                byte
	}{
		{7, 0, 100, 1000, 0},
		{7, 0, 101, 1001, 0},
		{7, 0, 99, 999, aside},
		{7, 0, 103, 1003, 0},
		{7, 0, 102, 1002, 0},              // a little out of order
		{7, 90, 98, 998, aside},           // merged
		{7, 0, 104, 1004 - hour, 0},       // the clock is set back
		{7, 0, 97, 997, aside},            // from before that
		{other, 0, 55, 900 - hour, aside}, // what is left of another session
		{other, 0, 1, 1005 + 2*hour, 0},   // a new session
		{7, 0, 96, 996 - hour, aside},     // what is left of the last one
		{other, 0, 2, 1006 + 2*hour, 0},
	} {
		at := delta.Stamp{Lane: buffer.Detail, Session: buffer.Session(f.session), First: buffer.Seq(f.first), Seq: buffer.Seq(f.seq)}
		frame, err := enc.Encode(nil, at, long(20, f.scrape))
		if err != nil {
			t.Fatal(err)
		}
		if frame[0]&aside != f.want {
			t.Errorf("frame %d, %+v of scrape %d: flags %#x", i, at, f.scrape, frame[0])
		}
	}
}
