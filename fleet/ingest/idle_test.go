package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// nodesEnv makes the test binary open as many streams of nodes, to nodesURLEnv,
// and hold them open until its standard input ends; for each line of it they beat.
const (
	nodesEnv    = "GHOSTLIGHT_TEST_NODES"
	nodesURLEnv = "GHOSTLIGHT_TEST_URL"
)

const (
	nodeSeries  = 1232 // of the node whose idle stream is weighed
	nodeScrapes = 3    // that it sends before
)

// nodeScrape is one scrape of such a node.
func nodeScrape(n int) delta.Batch {
	var b delta.Batch
	for i := range nodeSeries {
		value := float64(n * (i % 17))
		if i%5 == 0 {
			value = float64(n*i%97) / 8
		}
		b.Series = append(b.Series, delta.Series{
			Labels: []delta.Label{
				{Name: "__name__", Value: fmt.Sprintf("venue_metric_%d_total", i/8)},
				{Name: "instance", Value: "van-3:9464"},
				{Name: "job", Value: "stage"},
				{Name: "part", Value: fmt.Sprint("part-", i%8)},
			},
			Meta:    delta.Meta{Type: delta.Counter, Help: fmt.Sprintf("What part of the venue counts, number %d.", i/8)},
			Samples: []delta.Sample{{Time: int64(1_790_000_000_000 + 15_003*n), Value: value}},
		})
	}
	return b
}

// beNodes is the child that nodesEnv asks for.
func beNodes() error {
	n, err := strconv.Atoi(os.Getenv(nodesEnv))
	if err != nil {
		return err
	}
	list := make([]node, n)
	all := func(do func(n int) error) error {
		var group errgroup.Group
		group.SetLimit(8)
		for n := range list {
			group.Go(func() error { return do(n) })
		}
		return group.Wait()
	}
	err = all(func(n int) error { return list[n].begin(os.Getenv(nodesURLEnv), buffer.Session(n+1)) })
	for lines := bufio.NewScanner(os.Stdin); err == nil; {
		fmt.Println("ready")
		if !lines.Scan() {
			return lines.Err()
		}
		err = all(func(n int) error { return list[n].beat() })
	}
	return err
}

// A node is one of those.
type node struct {
	out io.Writer
	in  *wire.Reader
}

// beat returns when its beat was answered.
func (n *node) beat() error {
	if _, err := n.out.Write(wire.AppendBeat(nil, 1)); err != nil {
		return err
	}
	for {
		kind, _, err := n.in.Next()
		if err != nil || kind == wire.Beaten {
			return err
		}
	}
}

// begin opens a stream, sends scrapes, and returns when they are durable.
func (n *node) begin(url string, session buffer.Session) error {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	body, out := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, url+wire.StreamPath, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+sohoToken)
	res, err := (&http.Transport{Protocols: protocols}).RoundTrip(req) // a connection of its own
	if err != nil {
		return err
	}
	message, err := wire.AppendJSON(nil, wire.Hello, wire.Heartbeat{Session: session})
	if err != nil {
		return err
	}
	encoder := delta.NewEncoder(codec)
	for seq := range nodeScrapes {
		frame, err := encoder.Encode(nil, delta.Stamp{Lane: buffer.Detail, Session: session, Seq: buffer.Seq(seq + 1)}, nodeScrape(seq))
		if err != nil {
			return err
		}
		message = wire.AppendMessage(message, wire.Block, frame)
	}
	n.out, n.in = out, wire.NewReader(res.Body, 1<<20)
	if _, err := out.Write(message); err != nil {
		return err
	}
	for {
		kind, body, err := n.in.Next()
		if err != nil {
			return err
		}
		if kind != wire.Acked {
			continue
		}
		if ack, err := wire.ParseAck(body); err != nil || ack.Ranges[len(ack.Ranges)-1].Last == nodeScrapes {
			return err
		}
	}
}

// nodes runs a child that holds streams open until the test ends; beat returns
// when each of them has beaten.
func nodes(t *testing.T, url string, streams int) (beat func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodesEnv+"="+strconv.Itoa(streams), nodesURLEnv+"="+url)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewReader(out)
	ready := func() {
		t.Helper()
		if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("the nodes said %q (%v)", line, err)
		}
	}
	ready()
	return func() {
		t.Helper()
		if _, err := in.Write([]byte("beat\n")); err != nil {
			t.Fatal(err)
		}
		ready()
	}
}

// idle waits until so many streams are open and at rest.
func (r *rig) idle(want int) {
	r.t.Helper()
	r.settle()
	for deadline := time.Now().Add(time.Minute); r.resting() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d streams are at rest, want %d", r.resting(), want)
		}
	}
	r.journal.handover.forget(r.applied.Load())
}

func (r *rig) resting() (n int) {
	r.streams.mu.Lock()
	defer r.streams.mu.Unlock()
	for _, list := range r.streams.open {
		for _, s := range list {
			s.mu.Lock()
			if s.small && s.waiting == 0 {
				n++
			}
			s.mu.Unlock()
		}
	}
	return n
}

// inUse is the memory of heap and stacks.
func inUse() int64 {
	var m runtime.MemStats
	for range 2 { // the second frees what pools had kept
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestIdleStreamsAreSmall weighs everything that a connection of a node of 1,232
// series costs the centre: the stream, HTTP/2 and goroutines; between two scrapes,
// and while it idles.
func TestIdleStreamsAreSmall(t *testing.T) {
	const streams, most = 100, 150 << 10
	c := epoch()
	r := newRig(t, t.TempDir(), func(o *Options) {
		o.Now, o.Silence, o.streamsPerNode = c.now, time.Hour, 1+streams
	})
	nodes(t, r.url, 1) // so that what all streams share is there
	r.idle(1)
	before := inUse()
	beat := nodes(t, r.url, streams)
	r.idle(1 + streams)
	between := (inUse() - before) / streams
	pass(c, forgetAfter)
	beat()
	r.idle(1 + streams)
	idle := (inUse() - before) / streams
	t.Logf("a stream of %d series takes %d bytes between two scrapes, %d while it idles", nodeSeries, between, idle)
	if between > most || idle > most {
		t.Errorf("want %d at most", most)
	}
}
