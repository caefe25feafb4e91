package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/buffer"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// diary is a Calendar that a test writes.
type diary struct {
	mu      sync.Mutex
	shows   map[string][]wire.Show // by venue
	changed chan struct{}
}

func newDiary() *diary { return &diary{shows: map[string][]wire.Show{}, changed: make(chan struct{})} }

func (d *diary) Shows(venue string, _ time.Time) wire.Calendar {
	d.mu.Lock()
	defer d.mu.Unlock()
	return wire.NewCalendar(d.shows[venue])
}

func (d *diary) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// write makes a show the only one of a venue, and says so unless it is done in
// secret.
func (d *diary) write(venue, show string, secret bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shows[venue] = []wire.Show{{ID: show, Name: show, StartMS: 100, OnMS: 50}}
	if !secret {
		close(d.changed)
		d.changed = make(chan struct{})
	}
}

// told reads a calendar of one show.
func (l *link) told(want string) {
	l.t.Helper()
	got, _, err := wire.ParseCalendar(l.hear(wire.Shows))
	if err != nil || len(got.Shows) != 1 || got.Shows[0].ID != want {
		l.t.Fatalf("told of %+v (%v), want %s", got, err, want)
	}
}

// nothing makes sure that the node was told nothing: the next thing said is the
// answer to its beat.
func (l *link) nothing() {
	l.t.Helper()
	l.say(wire.AppendBeat(nil, 5))
	l.hear(wire.Beaten)
}

func TestNodesAreToldOfTheirVenuesShows(t *testing.T) {
	d := newDiary()
	d.write("soho", "first", false)
	d.write("camden", "other", false)
	r := newRig(t, t.TempDir(), func(o *Options) { o.Calendar = d })
	old := r.dial(sohoToken)
	l, c := r.dialHolding(sohoToken, wire.NoCalendar), r.dialHolding(camdenToken, wire.NoCalendar)
	l.told("first")
	c.told("other")
	for n := range 3 { // when the second is told, the round of the first is over
		d.write("camden", fmt.Sprint("camden-", n), false)
		c.told(fmt.Sprint("camden-", n))
	}
	l.nothing() // of another venue
	d.write("soho", "second", false)
	l.told("second")
	l.nothing()
	old.nothing()

	held := d.Shows("soho", time.Time{}).Digest()
	back := r.dialHolding(sohoToken, held)
	back.nothing() // it holds it
	back.send(stamp(buffer.Revenue, 1, 1), batchOf(t, buffer.Revenue, 1, 1))
	back.acked(buffer.Revenue, 1)
	d.write("soho", "third", false)
	l.told("third")
	back.told("third")
	if got := r.metric("ghostlight_fleet_calendars_sent_total"); got != 8 {
		t.Errorf("%v calendars are counted, want 8", got)
	}
}

// TestTimeThatPassesChangesACalendar without that anybody says so.
func TestTimeThatPassesChangesACalendar(t *testing.T) {
	d := newDiary()
	d.write("soho", "first", false)
	r := newRig(t, t.TempDir(), func(o *Options) { o.Calendar, o.showsEvery = d, time.Millisecond })
	l := r.dialHolding(sohoToken, wire.NoCalendar)
	l.told("first")
	d.write("soho", "second", true)
	l.told("second")
}

func TestHeartbeatsAreAnsweredWithShows(t *testing.T) {
	d := newDiary()
	d.write("soho", "first", false)
	r := newRig(t, t.TempDir(), func(o *Options) { o.Calendar = d })
	now := d.Shows("soho", time.Time{})
	for _, tt := range []struct {
		held string
		want *wire.Calendar
	}{{"", nil}, {wire.NoCalendar, &now}, {now.Digest(), nil}, {"of another day", &now}} {
		body, err := json.Marshal(wire.Heartbeat{Session: session, Calendar: tt.held})
		if err != nil {
			t.Fatal(err)
		}
		status, answer := r.post(wire.HeartbeatPath, sohoToken, body)
		var got wire.HeartbeatReply
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusOK {
			t.Fatalf("answered %d %s (%v)", status, answer, err)
		}
		if diff := cmp.Diff(wire.HeartbeatReply{ReceivedMS: 4242, Calendar: tt.want}, got); diff != "" {
			t.Errorf("holding %q (-want +got):\n%s", tt.held, diff)
		}
	}
}

// TestANodesSenderTakesTheCalendar, once for each change, by either way.
func TestANodesSenderTakesTheCalendar(t *testing.T) {
	d := newDiary()
	d.write("soho", "first", false)
	r := newRig(t, t.TempDir(), func(o *Options) { o.Calendar = d })
	for name, dial := range map[string]forward.Dialer{
		"stream": nil,
		"post":   func(context.Context) (forward.Conn, error) { return nil, forward.ErrNoStream },
	} {
		t.Run(name, func(t *testing.T) {
			d.write("soho", "first", false)
			q, err := queue.Open(t.Context(), queue.Options{Dir: t.TempDir(), DiskBudget: 64 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			told := make(chan wire.Calendar, 10)
			f, err := forward.New(forward.Options{
				URL: r.url, Token: sohoToken, Queue: q, Dial: dial, Heartbeat: 10 * time.Millisecond,
				Info:     func() wire.Heartbeat { return wire.Heartbeat{Session: q.Session(), Version: "v"} },
				Calendar: func(c wire.Calendar) { told <- c },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- f.Run(ctx) }()
			for _, want := range []string{"first", "second", "third"} {
				d.write("soho", want, want == "first")
				if got := <-told; len(got.Shows) != 1 || got.Shows[0].ID != want {
					t.Errorf("told of %+v, want %s", got, want)
				}
			}
			cancel()
			if err := <-done; err != nil || len(told) != 0 {
				t.Errorf("%v; told %d times more", err, len(told))
			}
		})
	}
}

// stuckNode is an answer that nobody reads until it is let go.
type stuckNode struct {
	http.ResponseWriter
	mu     sync.Mutex
	got    bytes.Buffer
	let    chan struct{}
	writes chan struct{} // one for each that begins
}

func (n *stuckNode) Write(p []byte) (int, error) {
	n.writes <- struct{}{}
	<-n.let
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got.Write(p)
}

func (*stuckNode) SetWriteDeadline(time.Time) error { return nil }
func (*stuckNode) FlushError() error                { return nil }

// standing is a stream to w whose node wants to be told of shows.
func standing(i *Ingest, src buffer.Source, w http.ResponseWriter) *stream {
	return &stream{i: i, source: src, w: w, rc: http.NewResponseController(w), shows: showing{wanted: true, held: wire.NoCalendar}}
}

func unready(d Calendar) *Ingest {
	i := &Ingest{o: Options{Calendar: d, Now: time.Now}, streams: streams{most: 4, open: map[buffer.Source][]*stream{}}}
	i.metrics = &metrics{calendars: prometheus.NewCounter(prometheus.CounterOpts{Name: "calendars"})}
	return i
}

// TestANodeThatDoesNotReadKeepsNobodyWaiting; when it reads it hears the latest.
func TestANodeThatDoesNotReadKeepsNobodyWaiting(t *testing.T) {
	d := newDiary()
	w := &stuckNode{let: make(chan struct{}), writes: make(chan struct{}, 10)}
	s := standing(unready(d), soho, w)
	for n := range 5 {
		d.write("soho", fmt.Sprint("show-", n), false)
		c := d.Shows("soho", time.Time{})
		s.tellShows(c, c.Digest()) // comes back though nothing is read
		if n == 0 {
			<-w.writes
		}
	}
	close(w.let)
	s.acks.Wait()
	s.close()
	s.tellShows(wire.NewCalendar(nil), "after the end")
	s.acks.Wait()
	r := wire.NewReader(&w.got, 1<<20)
	l := link{t: t, in: r}
	l.told("show-0")
	l.told("show-4")
	if _, _, err := r.Next(); err == nil {
		t.Error("more was said")
	}
}

// quickNode reads at once.
type quickNode struct{ http.ResponseWriter }

func (quickNode) Write(p []byte) (int, error)      { return len(p), nil }
func (quickNode) SetWriteDeadline(time.Time) error { return nil }
func (quickNode) FlushError() error                { return nil }

// BenchmarkOneVenueOfManyChanges is a change of one calendar while 10,000 venues have
// a stream each and 20 shows.
func BenchmarkOneVenueOfManyChanges(b *testing.B) {
	const venues = 10_000
	d := newDiary()
	i := unready(d)
	for n := range venues {
		src := buffer.Source{Region: "uk", Venue: fmt.Sprint("venue-", n), Node: "a"}
		for k := range 20 {
			at := int64(1_790_000_000_000 + k*86_400_000)
			d.shows[src.Venue] = append(d.shows[src.Venue], wire.Show{
				ID: fmt.Sprintf("k3jq7zt5mwx2p%03d", k), Name: "An evening at the venue", StartMS: at, EndMS: at + 10_800_000, OnMS: at - 3_600_000, OffMS: at + 12_600_000,
			})
		}
		s := standing(i, src, quickNode{})
		s.shows.held = d.Shows(src.Venue, time.Time{}).Digest()
		i.streams.open[src] = []*stream{s}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	i.o.showsEvery = time.Hour
	go func() { i.tellShows(ctx); close(done) }()
	s := i.streams.open[buffer.Source{Region: "uk", Venue: "venue-7", Node: "a"}][0]
	n := 0
	for b.Loop() {
		n++
		d.write("venue-7", fmt.Sprint("show-", n), false)
		want := d.Shows("venue-7", time.Time{}).Digest()
		for held := ""; held != want; time.Sleep(time.Millisecond) {
			s.mu.Lock()
			held = s.shows.held
			s.mu.Unlock()
		}
	}
	cancel()
	<-done
	s.acks.Wait()
}
