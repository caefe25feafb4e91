package ingest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// A link is the node's end of a stream.
type link struct {
	t       testing.TB
	out     *io.PipeWriter
	res     *http.Response
	in      *wire.Reader
	encoder *delta.Encoder
}

// dial opens a stream and says hello; the answer is read with welcome.
func (r *rig) dial(token string) *link {
	r.t.Helper()
	return r.dialHolding(token, "")
}

// dialHolding is dial of a node that holds a calendar.
func (r *rig) dialHolding(token, calendar string) *link {
	r.t.Helper()
	l := r.open(token)
	hello, err := wire.AppendJSON(nil, wire.Hello, wire.Heartbeat{Session: session, SentMS: 77, Version: "v", Calendar: calendar})
	if err != nil {
		r.t.Fatal(err)
	}
	l.say(hello)
	var greeting wire.Greeting
	if err := json.Unmarshal(l.hear(wire.Welcome), &greeting); err != nil {
		r.t.Fatal(err)
	}
	want := wire.Greeting{ReceivedMS: 4242, SilenceMS: r.o.Silence.Milliseconds(), FrameBytes: min(streamFrame, r.o.BlockBytes)}
	if diff := cmp.Diff(want, greeting); diff != "" {
		r.t.Errorf("greeting (-want +got):\n%s", diff)
	}
	return l
}

// open opens a stream and says nothing.
func (r *rig) open(token string) *link {
	r.t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	body, out := io.Pipe()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+wire.StreamPath, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	l := &link{t: r.t, out: out, res: res, in: wire.NewReader(res.Body, 1<<20), encoder: newEncoder(r.t)}
	r.t.Cleanup(func() {
		out.Close()
		res.Body.Close()
		transport.CloseIdleConnections()
	})
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || res.Header.Get("Content-Type") != wire.StreamType {
		r.t.Fatalf("stream was answered %s %v", res.Status, res.Header)
	}
	return l
}

func newEncoder(t testing.TB) *delta.Encoder {
	t.Helper()
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return delta.NewEncoder(codec)
}

func (l *link) say(message []byte) {
	l.t.Helper()
	if _, err := l.out.Write(message); err != nil {
		l.t.Fatal(err)
	}
}

// frame encodes a block as the next one of the stream.
func (l *link) frame(at delta.Stamp, b delta.Batch) []byte {
	l.t.Helper()
	frame, err := l.encoder.Encode(nil, at, b)
	if err != nil {
		l.t.Fatal(err)
	}
	return frame
}

func (l *link) send(at delta.Stamp, b delta.Batch) {
	l.t.Helper()
	l.say(wire.AppendMessage(nil, wire.Block, l.frame(at, b)))
}

// hear reads the next message, which must be of that type.
func (l *link) hear(want wire.MessageType) []byte {
	l.t.Helper()
	kind, body, err := l.in.Next()
	if err != nil || kind != want {
		l.t.Fatalf("heard message %d %q (%v), want %d", kind, body, err, want)
	}
	return bytes.Clone(body)
}

// acked reads acknowledgements until they cover n sequences from 1 on.
func (l *link) acked(lane buffer.Lane, n buffer.Seq) {
	l.t.Helper()
	for {
		ack, err := wire.ParseAck(l.hear(wire.Acked))
		if err != nil {
			l.t.Fatal(err)
		}
		if ack.Lane != lane || ack.Session != session {
			l.t.Fatalf("acknowledged %+v", ack)
		}
		if slices.Contains(ack.Ranges, wire.Range{First: 1, Last: n}) {
			return
		}
	}
}

func (l *link) refusal() wire.StreamRefusal {
	l.t.Helper()
	var r wire.StreamRefusal
	if err := json.Unmarshal(l.hear(wire.Refused), &r); err != nil {
		l.t.Fatal(err)
	}
	return r
}

func stamp(lane buffer.Lane, first, last buffer.Seq) delta.Stamp {
	return delta.Stamp{Lane: lane, Session: session, First: first, Seq: last}
}

// batchOf is the batch of the block of that name.
func batchOf(t *testing.T, lane buffer.Lane, seq buffer.Seq, n int, records ...delta.Record) delta.Batch {
	t.Helper()
	_, payload, err := buffer.Open(block(t, lane, seq, n, records...))
	if err != nil {
		t.Fatal(err)
	}
	b, err := delta.Decode(payload, delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return b
}
