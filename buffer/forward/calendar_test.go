package forward_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

// told collects calendars.
type told struct {
	mu   sync.Mutex
	list []wire.Calendar
}

func (c *told) take(one wire.Calendar) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, one)
}

func (c *told) all() []wire.Calendar {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]wire.Calendar(nil), c.list...)
}

// TestTheCalendarIsToldOnceUntilItChanges, however often the node comes back, and
// also by a fleet that says more of a show than this node knows of.
func TestTheCalendarIsToldOnceUntilItChanges(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		var got told
		b.opts.Calendar = got.take
		first := `{"shows":[{"id":"a","name":"Gig","start_ms":90,"end_ms":0,"on_ms":60,"off_ms":0,"encore":true}],"later":1}`
		b.fleet.set(func(f *fleet) { f.calendar = []byte(first) })
		b.start()
		defer func() { b.stop() }()
		again := func() {
			b.cut(true)
			time.Sleep(20 * time.Second)
			b.cut(false)
			time.Sleep(20 * time.Second)
		}
		time.Sleep(20 * time.Second)
		again()
		if n := b.fleet.tally().calendars; n != 1 {
			t.Errorf("the calendar was sent %d times", n)
		}
		b.fleet.set(func(f *fleet) { f.calendar = []byte(`{"shows":[]}`) })
		again()
		want := []wire.Calendar{{Shows: []wire.Show{{ID: "a", Name: "Gig", StartMS: 90, OnMS: 60}}}, {Shows: []wire.Show{}}}
		if d := cmp.Diff(want, got.all()); d != "" {
			t.Errorf("calendars (-want +got):\n%s", d)
		}
	})
}

// TestABrokenCalendarStopsNothing: it is counted, said once, and the one before stays.
func TestABrokenCalendarStopsNothing(t *testing.T) {
	for name, body := range map[string]string{
		"no list":    `{}`,
		"other type": `{"shows":"none"}`,
		"no show":    `{"shows":[{"id":"a"}]}`,
		"too long":   `{"shows":[],"x":"` + strings.Repeat("x", wire.MaxCalendarBytes) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, b *bench) {
				var got told
				b.opts.Calendar = got.take
				b.fleet.set(func(f *fleet) { f.calendar = []byte(body) })
				b.start()
				defer func() { b.stop() }()
				time.Sleep(30 * time.Second)
				b.add(buffer.Revenue, "r")
				time.Sleep(time.Second)
				s := b.fwd.Status()
				if !s.Up || !b.queue.drained() || s.BadCalendars < 1 || s.BadCalendars != int64(b.fleet.tally().calendars) {
					t.Errorf("status %+v, the buffer %+v, %d calendars sent", s, b.queue.Stats(), b.fleet.tally().calendars)
				}
				if n := b.log.count("stays in force"); n != 1 || len(got.all()) != 0 {
					t.Errorf("%d lines in the log, want 1; told %v", n, got.all())
				}
			})
		})
	}
}

// TestANodeWithoutUseForTheCalendarAsksForNone.
func TestANodeWithoutUseForTheCalendarAsksForNone(t *testing.T) {
	both(t, func(t *testing.T, b *bench) {
		b.fleet.set(func(f *fleet) { f.calendar = []byte(`{"shows":[]}`) })
		b.start()
		defer func() { b.stop() }()
		time.Sleep(20 * time.Second)
		if n := b.fleet.tally().calendars; n != 0 || len(b.fleet.told()) == 0 {
			t.Errorf("%d calendars were sent to one of %d heartbeats", n, len(b.fleet.told()))
		}
	})
}

// TestMessagesThatANodeDoesNotKnowArePassedOver, so that it can be older than its fleet.
func TestMessagesThatANodeDoesNotKnowArePassedOver(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		b.fleet.set(func(f *fleet) {
			f.besides = wire.AppendMessage(wire.AppendCalendar(nil, wire.NewCalendar(nil)), 99, []byte("of a newer version"))
		})
		b.start()
		defer func() { b.stop() }()
		b.add(buffer.Revenue, "r")
		time.Sleep(time.Minute)
		if s := b.fwd.Status(); !s.Up || s.Streams != 1 || s.BadCalendars != 0 || s.LastError != "" || !b.queue.drained() {
			t.Errorf("status %+v, the buffer %+v", s, b.queue.Stats())
		}
	})
}

// TestOnlyHelloNamesTheCalendar on a stream: reports repeat nothing.
func TestOnlyHelloNamesTheCalendar(t *testing.T) {
	inStream(t, func(t *testing.T, b *bench) {
		var got told
		b.opts.Calendar = got.take
		b.fleet.set(func(f *fleet) { f.calendar = []byte(`{"shows":[]}`) })
		b.start()
		defer func() { b.stop() }()
		time.Sleep(11 * time.Minute)
		var named []string
		for _, h := range b.fleet.told() {
			named = append(named, h.Calendar)
		}
		if d := cmp.Diff([]string{wire.NoCalendar, "", ""}, named); d != "" {
			t.Errorf("what hello and two reports name (-want +got):\n%s", d)
		}
	})
}
