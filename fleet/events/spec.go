package events

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Spec says what an event is to be. Times are Unix milliseconds; 0 asks for what
// is usual.
type Spec struct {
	Name    string   `json:"name"`
	Venues  []string `json:"venues"`
	StartMS int64    `json:"start_ms"` // 0: now
	EndMS   int64    `json:"end_ms"`   // 0: open, somebody will end it
	DoorsMS int64    `json:"doors_ms"` // 0: with the start
	OnMS    int64    `json:"on_ms"`    // 0: OnBefore the doors
	OffMS   int64    `json:"off_ms"`   // 0: OffAfter the end
}

// event makes an event of s. The error wraps [ErrInvalid].
func (c *Calendar) event(s Spec, now time.Time) (Event, error) {
	e := Event{Name: strings.TrimSpace(s.Name), StartMS: s.StartMS, EndMS: s.EndMS, DoorsMS: s.DoorsMS, OnMS: s.OnMS, OffMS: s.OffMS}
	if err := checkName(e.Name); err != nil {
		return Event{}, err
	}
	var err error
	if e.Venues, err = c.places(s.Venues); err != nil {
		return Event{}, err
	}
	if e.StartMS == 0 {
		e.StartMS = now.UnixMilli()
	}
	if e.DoorsMS == 0 {
		e.DoorsMS = e.StartMS
	}
	if e.OnMS == 0 {
		e.OnMS = e.DoorsMS - OnBefore.Milliseconds()
	}
	if e.OffMS == 0 && e.EndMS != 0 {
		e.OffMS = e.EndMS + OffAfter.Milliseconds()
	}
	return e, e.checkTimes()
}

func checkName(name string) error {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%w: name must have 1 to %d bytes of text, on one line", ErrInvalid, MaxName)
	}
	return nil
}

// places checks and sorts names of venues.
func (c *Calendar) places(venues []string) ([]string, error) {
	venues = slices.Clone(venues)
	slices.Sort(venues)
	venues = slices.Compact(venues)
	if len(venues) == 0 {
		return nil, fmt.Errorf("%w: name at least one venue of: %s", ErrInvalid, c.allowed())
	}
	for _, v := range venues {
		if _, ok := slices.BinarySearch(c.venues, v); !ok {
			return nil, fmt.Errorf("%w: venue %q is unknown; allowed: %s", ErrInvalid, v, c.allowed())
		}
	}
	return venues, nil
}

// allowed lists the fleet's venues, so many that a message stays readable.
func (c *Calendar) allowed() string {
	const most = 20
	if len(c.venues) <= most {
		return strings.Join(c.venues, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(c.venues[:most], ", "), len(c.venues)-most)
}

// checkTimes reports times that cannot be true or are absurd.
func (e Event) checkTimes() error {
	long, margin := MaxLength.Milliseconds(), MaxMargin.Milliseconds()
	switch {
	case e.StartMS < earliestMS || e.StartMS > latestMS || e.EndMS > latestMS:
		return fmt.Errorf("%w: times must be Unix milliseconds from the year 2000 to 2100", ErrInvalid)
	case e.EndMS != 0 && e.EndMS <= e.StartMS:
		return fmt.Errorf("%w: it ends before it starts; end_ms must be after start_ms, or 0 while the end is open", ErrInvalid)
	case e.EndMS != 0 && e.EndMS-e.StartMS > long:
		return fmt.Errorf("%w: it lasts longer than %d days; make several events of it", ErrInvalid, MaxLength/(24*time.Hour))
	case e.DoorsMS > e.StartMS || e.OnMS > e.DoorsMS || e.OnMS < e.StartMS-margin:
		return fmt.Errorf("%w: on_ms, doors_ms and start_ms must follow each other within %d days", ErrInvalid, MaxMargin/(24*time.Hour))
	case e.EndMS == 0 && e.OffMS != 0:
		return fmt.Errorf("%w: off_ms needs end_ms", ErrInvalid)
	case e.EndMS != 0 && (e.OffMS < e.EndMS || e.OffMS > e.EndMS+margin):
		return fmt.Errorf("%w: off_ms must follow end_ms within %d days", ErrInvalid, MaxMargin/(24*time.Hour))
	}
	return nil
}
