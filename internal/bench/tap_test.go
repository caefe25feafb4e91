package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// clear2 is HTTP/2 in the clear, as a node and its fleet speak it.
func clear2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// A tap passes a stream on as it is, and counts its messages by what they hold.
func TestATapPassesOnWhatItCounts(t *testing.T) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	encoder := delta.NewEncoder(codec)
	sent := wire.AppendMessage(nil, wire.Hello, []byte("{}"))
	block := func(lane buffer.Lane, seq buffer.Seq, b delta.Batch) {
		frame, err := encoder.Encode(nil, delta.Stamp{Lane: lane, Session: 7, Seq: seq}, b)
		if err != nil {
			t.Fatal(err)
		}
		sent = wire.AppendMessage(sent, wire.Block, frame)
	}
	labels := []delta.Label{{Name: "__name__", Value: "up"}}
	for seq := range buffer.Seq(2) {
		block(buffer.Revenue, seq+1, delta.Batch{
			Series:  []delta.Series{{Labels: labels, Samples: []delta.Sample{{Time: 1, Value: 1}, {Time: 2, Value: 1}}}},
			Records: []delta.Record{{Kind: "slo.bucket", Key: "a"}, {Kind: "edge.outcomes", Key: "b"}, {Kind: "slo.bucket", Key: "c"}},
		})
	}
	block(buffer.Health, 1, delta.Batch{Records: []delta.Record{{Kind: "health.score", Key: "d"}}})
	sent = wire.AppendSign(sent)
	answer := wire.AppendAck(wire.AppendMessage(nil, wire.Welcome, []byte("{}")), wire.Ack{Session: 7, Ranges: []wire.Range{{First: 1, Last: 2}}})

	var received []byte
	fleet := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received, _ = io.ReadAll(r.Body) //nolint:errcheck // what is missing shows below
		w.Write(answer)                  //nolint:errcheck // as above
	}))
	fleet.Config.Protocols = clear2()
	fleet.Start()
	defer fleet.Close()
	tap, err := newTap("127.0.0.1:0", fleet.Listener.Addr().(*net.TCPAddr).String())
	if err != nil {
		t.Fatal(err)
	}
	defer tap.stop()
	transport := &http.Transport{Protocols: clear2()}
	defer transport.CloseIdleConnections()
	said, err := tap.over(func() error {
		resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Post("http://"+tap.addr+wire.StreamPath, wire.StreamType, bytes.NewReader(sent))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if !bytes.Equal(got, answer) || !bytes.Equal(received, sent) {
			t.Errorf("the fleet got %d bytes of %d, the node %d of %d", len(received), len(sent), len(got), len(answer))
		}
		if err != nil {
			return err
		}
		// What has passed is counted a moment later.
		return until(t.Context(), time.Minute, "all bytes to be counted", func() (bool, error) {
			said, err := tap.counts()
			var sum int64
			for _, c := range said {
				sum += c.bytes
			}
			return sum == int64(len(sent)+len(answer)), err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for about, c := range said {
		c.bytes = 0
		said[about] = c
	}
	want := map[string]carried{
		"reports of the node": {messages: 1},
		"revenue: edge.outcomes with samples with slo.bucket": {messages: 2, records: 6, samples: 4},
		"health: health.score":                                {messages: 1, records: 1},
		"signs of life":                                       {messages: 1},
		"acknowledgements of the fleet":                       {messages: 1},
		"whatever else the fleet says":                        {messages: 1},
	}
	if diff := cmp.Diff(want, said, cmp.AllowUnexported(carried{})); diff != "" {
		t.Error(diff)
	}
}
