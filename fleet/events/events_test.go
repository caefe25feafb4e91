package events

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/fleet/store"
)

func TestCalendar(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_000_000)
	open := func() *Calendar {
		t.Helper()
		c, err := New(t.Context(), st, []string{"soho", "camden", "soho"}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	gig, err := c.Create(t.Context(), " Gig ", []string{"soho", "camden", "soho"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Event{ID: gig.ID, Name: "Gig", Venues: []string{"camden", "soho"}, StartMS: 1_000_000}, gig); diff != "" || gig.ID == "" || !gig.Open() {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	now = now.Add(time.Minute)
	if from, to := gig.Window(now); !from.Equal(time.UnixMilli(1_000_000)) || !to.Equal(now) {
		t.Errorf("window of an open event: %s to %s", from, to)
	}
	later, err := c.Create(t.Context(), "Later", []string{"soho"})
	if err != nil {
		t.Fatal(err)
	}
	ended, err := c.End(t.Context(), gig.ID)
	if err != nil || ended.EndMS != 1_060_000 {
		t.Errorf("ended %+v (%v)", ended, err)
	}
	now = now.Add(time.Hour)
	again, err := c.End(t.Context(), gig.ID)
	if diff := cmp.Diff(ended, again); diff != "" || err != nil {
		t.Errorf("ended twice (-first +second):\n%s %v", diff, err)
	}
	if _, to := again.Window(now); !to.Equal(time.UnixMilli(1_060_000)) {
		t.Errorf("window of an ended event ends %s", to)
	}

	// It is all there after a restart.
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err = store.Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	defer func() { st.Close() }()
	list, err := open().List(t.Context())
	if diff := cmp.Diff([]Event{later, ended}, list); diff != "" || err != nil {
		t.Errorf("list (-want +got):\n%s %v", diff, err)
	}
}

func TestEventsAreRefused(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	c, err := New(t.Context(), st, []string{"soho"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		venues []string
		want   string
	}{
		{"", []string{"soho"}, "name"},
		{strings.Repeat("x", MaxName+1), []string{"soho"}, "name"},
		{"Gig", nil, "at least one venue of: soho"},
		{"Gig", []string{"soho", "elsewhere"}, `"elsewhere" is unknown; allowed: soho`},
	} {
		if _, err := c.Create(t.Context(), tt.name, tt.venues); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q at %v: %v", tt.name, tt.venues, err)
		}
	}
	if _, err := c.Get(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("get: %v", err)
	}
	if _, err := c.End(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("end: %v", err)
	}
}
