package main

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// A tap lies between an agent and its fleet and reads along: each message of a
// stream is counted under what it is about. What it passes on it does not touch.
type tap struct {
	addr  string
	codec *delta.Codec
	srv   *http.Server

	mu      sync.Mutex         // guards what follows
	said    map[string]carried // by what it is about
	trouble error              // why something could not be read
}

// carried is what messages of one sort came to.
type carried struct{ messages, bytes, records, samples int64 }

func (c carried) plus(d carried, times int64) carried {
	return carried{c.messages + times*d.messages, c.bytes + times*d.bytes, c.records + times*d.records, c.samples + times*d.samples}
}

// longestMessage is more than either side sends.
const longestMessage = 64 << 20

// newTap listens at addr for what goes to fleet.
func newTap(addr, fleet string) (*tap, error) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	t := &tap{addr: ln.Addr().String(), codec: codec, said: map[string]carried{}}
	http2 := new(http.Protocols)
	http2.SetUnencryptedHTTP2(true)
	t.srv = &http.Server{Protocols: http2, ReadHeaderTimeout: 10 * time.Second, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: fleet})
			if r.In.URL.Path == wire.StreamPath {
				r.Out.Body = t.along(r.Out.Body, t.reader())
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Path == wire.StreamPath {
				r.Body = t.along(r.Body, t.answer)
			}
			return nil
		},
		Transport:     &http.Transport{Protocols: http2},
		ErrorLog:      log.New(io.Discard, "", 0), // a stream that ends says so in the programs
		FlushInterval: -1,
	}}
	go t.srv.Serve(ln) //nolint:errcheck // what does not get through shows in what is measured
	return t, nil
}

func (t *tap) stop() { t.srv.Close() } //nolint:errcheck // nothing is left to lose

// along returns body, of which each message is shown to see as it is read.
func (t *tap) along(body io.ReadCloser, see func(wire.MessageType, []byte) (about string, of carried, err error)) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		messages := wire.NewReader(r, longestMessage)
		for {
			kind, text, err := messages.Next()
			if err != nil {
				r.CloseWithError(err)
				return
			}
			about, of, err := see(kind, text)
			of.messages, of.bytes = 1, int64(len(wire.AppendMessage(nil, kind, text)))
			t.mu.Lock()
			t.said[about] = t.said[about].plus(of, 1)
			if t.trouble == nil {
				t.trouble = err
			}
			t.mu.Unlock()
		}
	}()
	return &tapped{io.TeeReader(body, forgiving{w}), body, w}
}

// tapped is a body that is read along.
type tapped struct {
	io.Reader
	body io.Closer
	pipe *io.PipeWriter
}

func (t *tapped) Close() error {
	t.pipe.Close() //nolint:errcheck // a pipe's end always works
	return t.body.Close()
}

// forgiving takes what is written whether or not somebody reads it.
type forgiving struct{ io.Writer }

func (f forgiving) Write(p []byte) (int, error) {
	f.Writer.Write(p) //nolint:errcheck // see above
	return len(p), nil
}

// reader returns what reads the node's messages of one stream.
func (t *tap) reader() func(wire.MessageType, []byte) (string, carried, error) {
	decoder := delta.NewDecoder(t.codec)
	return func(kind wire.MessageType, body []byte) (string, carried, error) {
		switch kind {
		case wire.Block:
			stamp, batch, err := decoder.Decode(body)
			if err != nil {
				return "blocks that cannot be read", carried{}, fmt.Errorf("read along: %w", err)
			}
			return content(stamp.Lane, batch), carried{records: int64(len(batch.Records)), samples: int64(batch.Samples())}, nil
		case wire.Hello, wire.Report:
			return "reports of the node", carried{}, nil
		}
		return "signs of life", carried{}, nil
	}
}

// content names what a block holds.
func content(lane buffer.Lane, b delta.Batch) string {
	parts := map[string]bool{}
	for _, r := range b.Records {
		parts[r.Kind] = true
	}
	if len(b.Series) > 0 {
		parts["samples"] = true
	}
	return lane.String() + ": " + strings.Join(slices.Sorted(maps.Keys(parts)), " with ")
}

// answer reads the fleet's messages.
func (t *tap) answer(kind wire.MessageType, _ []byte) (string, carried, error) {
	if kind == wire.Acked {
		return "acknowledgements of the fleet", carried{}, nil
	}
	return "whatever else the fleet says", carried{}, nil
}

// counts are those so far.
func (t *tap) counts() (map[string]carried, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.said), t.trouble
}

// over counts while f runs, and leaves out what did not occur.
func (t *tap) over(f func() error) (map[string]carried, error) {
	before, err := t.counts()
	if err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	after, err := t.counts()
	for about, c := range before {
		after[about] = after[about].plus(c, -1)
	}
	maps.DeleteFunc(after, func(_ string, c carried) bool { return c.messages == 0 })
	return after, err
}

// bySize lists what was counted, the most bytes first.
func bySize(of map[string]carried) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(of[b].bytes, of[a].bytes), cmp.Compare(a, b))
	})
}
