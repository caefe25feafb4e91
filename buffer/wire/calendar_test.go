package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func show(n int, name string) Show {
	at := int64(1_790_000_000_000 + n)
	return Show{ID: fmt.Sprint("show-", n), Name: name, StartMS: at, EndMS: at + 1000, DoorsMS: at - 10, OnMS: at - 20, OffMS: at + 2000}
}

// TestACalendarArrivesAsItWasSent: every calendar that is made passes, whatever its
// names take as JSON, and holds as much as may be.
func TestACalendarArrivesAsItWasSent(t *testing.T) {
	for name, tt := range map[string]struct {
		count, least int
		name         string
	}{
		"none":         {0, 0, "x"},
		"one":          {1, 1, "Gig"},
		"many":         {MaxShows + 7, MaxShows, "Gig"},
		"long names":   {MaxShows, 130, strings.Repeat("x", maxShowName)},
		"escaped ones": {MaxShows, 35, strings.Repeat("<", maxShowName)},
	} {
		t.Run(name, func(t *testing.T) {
			var shows []Show
			for n := range tt.count {
				shows = append(shows, show(n, tt.name))
			}
			c := NewCalendar(shows)
			if len(c.Shows) < tt.least || len(c.Shows) > MaxShows {
				t.Errorf("%d shows are held, want at least %d", len(c.Shows), tt.least)
			}
			kind, body, err := NewReader(bytes.NewReader(AppendCalendar(nil, c)), 64<<10).Next()
			if err != nil || kind != Shows {
				t.Fatalf("message %d (%v)", kind, err)
			}
			got, of, err := ParseCalendar(body)
			if diff := cmp.Diff(c, got); diff != "" || err != nil || of != c.Digest() {
				t.Errorf("digest %s of %s, %v, calendar (-want +got):\n%s", of, c.Digest(), err, diff)
			}
		})
	}
	open := show(1, "Gig")
	open.EndMS, open.OffMS, open.DoorsMS = 0, 0, 0
	if err := NewCalendar([]Show{open}).Validate(); err != nil {
		t.Errorf("a show with an open end: %v", err)
	}
}

func TestDigestTellsCalendarsApart(t *testing.T) {
	seen := map[string]string{NoCalendar: "none"}
	later := show(1, "Gig")
	later.OffMS++
	for name, c := range map[string]Calendar{
		"empty": NewCalendar(nil), "one": NewCalendar([]Show{show(1, "Gig")}), "later": NewCalendar([]Show{later}),
	} {
		if other, ok := seen[c.Digest()]; ok {
			t.Errorf("%s and %s have the digest %s", name, other, c.Digest())
		}
		seen[c.Digest()] = name
	}
}

func TestCalendarsThatNoFleetSends(t *testing.T) {
	good := show(1, "Gig")
	for name, change := range map[string]func(*Show){
		"no id":              func(s *Show) { s.ID = "" },
		"a long id":          func(s *Show) { s.ID = strings.Repeat("x", maxShowID+1) },
		"no name":            func(s *Show) { s.Name = "" },
		"a long name":        func(s *Show) { s.Name = strings.Repeat("x", maxShowName+1) },
		"end before start":   func(s *Show) { s.EndMS = s.StartMS },
		"off before end":     func(s *Show) { s.OffMS = s.EndMS - 1 },
		"off with open end":  func(s *Show) { s.EndMS = 0 },
		"on after doors":     func(s *Show) { s.OnMS = s.DoorsMS + 1 },
		"doors after start":  func(s *Show) { s.DoorsMS = s.StartMS + 1 },
		"on after the start": func(s *Show) { s.DoorsMS, s.OnMS = 0, s.StartMS+1 },
		"never on":           func(s *Show) { s.OnMS = 0 },
	} {
		bad := good
		change(&bad)
		body := Calendar{Shows: []Show{bad}}.encode()
		if _, _, err := ParseCalendar(body); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, list := range map[string][]Show{
		"twice":    {good, good},
		"unsorted": {show(2, "b"), show(1, "a")},
		"too many": make([]Show, MaxShows+1),
	} {
		if _, _, err := ParseCalendar(Calendar{Shows: list}.encode()); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseCalendar(f *testing.F) {
	f.Add(NewCalendar([]Show{show(1, "Gig")}).encode())
	f.Add([]byte(`{"shows":[]}`))
	f.Add([]byte(`{"shows":[{"id":"a","name":"\ud800","start_ms":-1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, _, err := ParseCalendar(body)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Errorf("error %v", err)
			}
			return
		}
		if len(c.encode()) > MaxCalendarBytes {
			return // its names need escapes that the body did without
		}
		again, _, err := ParseCalendar(c.encode())
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("%v, once more (-first +second):\n%s", err, diff)
		}
	})
}
