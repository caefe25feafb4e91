package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Limits of a calendar: what a fleet sends stays below them, what a node is sent is
// refused above them.
const (
	MaxShows         = 250
	MaxCalendarBytes = 48 << 10 // as JSON; nodes read messages of 64 KiB
	maxShowID        = 64
	maxShowName      = 200
)

// A Show is one event of the fleet's calendar as its venue's nodes need it. Times are
// Unix milliseconds of the fleet's clock.
type Show struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	StartMS int64  `json:"start_ms"`
	EndMS   int64  `json:"end_ms"`             // 0: the end is open, it goes on
	DoorsMS int64  `json:"doors_ms,omitempty"` // 0: with the start
	OnMS    int64  `json:"on_ms"`              // the node is expected on from here,
	OffMS   int64  `json:"off_ms"`             // to here; 0 while the end is open
}

// A Calendar is the shows of a node's venue, by start: at least those that were not
// over a day ago and those of the next 14 days. Each replaces the one before as a
// whole.
type Calendar struct {
	Shows []Show `json:"shows"`
}

// NewCalendar holds as many of shows as there may be, from the first on.
func NewCalendar(shows []Show) Calendar {
	c := Calendar{Shows: append([]Show{}, shows[:min(len(shows), MaxShows)]...)}
	if c.most() <= MaxCalendarBytes {
		return c
	}
	for size := len(c.encode()); size > MaxCalendarBytes; size = len(c.encode()) {
		// The part that fits, and no more than one show too few of it.
		c.Shows = c.Shows[:min(len(c.Shows)-1, len(c.Shows)*MaxCalendarBytes/size)]
	}
	return c
}

// most is more than the calendar takes as JSON: no byte of text takes more than six,
// no number more than twenty.
func (c Calendar) most() int {
	size := 20
	for _, s := range c.Shows {
		size += 6*(len(s.ID)+len(s.Name)) + 200
	}
	return size
}

func (c Calendar) encode() []byte {
	body, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and integers always can be
	}
	return body
}

// NoCalendar is the digest of a node that wants the calendar and holds none.
const NoCalendar = "none"

// Digest names the calendar by what it holds: 16 hex digits of a SHA-256 of its JSON.
func (c Calendar) Digest() string { return digest(c.encode()) }

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// AppendCalendar appends a Shows message.
func AppendCalendar(dst []byte, c Calendar) []byte { return AppendMessage(dst, Shows, c.encode()) }

// ParseCalendar reads the body of a Shows message, and returns the digest that its
// sender, who may know more fields of it, has for it. The error wraps [ErrMessage].
func ParseCalendar(body []byte) (c Calendar, of string, err error) {
	if len(body) > MaxCalendarBytes {
		return Calendar{}, "", fmt.Errorf("%w: calendar of %d bytes, at most %d are taken", ErrMessage, len(body), MaxCalendarBytes)
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return Calendar{}, "", fmt.Errorf("%w: calendar: %w", ErrMessage, err)
	}
	if err := c.Validate(); err != nil {
		return Calendar{}, "", err
	}
	return c, digest(body), nil
}

// Validate reports a calendar that no fleet sends. The error wraps [ErrMessage].
func (c Calendar) Validate() error {
	if c.Shows == nil || len(c.Shows) > MaxShows {
		return fmt.Errorf("%w: calendar of %d shows, at most %d are taken", ErrMessage, len(c.Shows), MaxShows)
	}
	ids := map[string]bool{}
	for n, s := range c.Shows {
		switch {
		case s.ID == "" || len(s.ID) > maxShowID || ids[s.ID]:
			return fmt.Errorf("%w: show %d of the calendar has an id that is empty, too long or taken", ErrMessage, n)
		case s.Name == "" || len(s.Name) > maxShowName || !utf8.ValidString(s.Name):
			return fmt.Errorf("%w: show %s of the calendar has no name, or a longer one than %d bytes", ErrMessage, s.ID, maxShowName)
		case !s.ordered():
			return fmt.Errorf("%w: show %s of the calendar has times that cannot be", ErrMessage, s.ID)
		case n > 0 && s.StartMS < c.Shows[n-1].StartMS:
			return fmt.Errorf("%w: show %s of the calendar is not in its place", ErrMessage, s.ID)
		}
		ids[s.ID] = true
	}
	return nil
}

// ordered reports whether a show's times follow each other.
func (s Show) ordered() bool {
	if s.OnMS <= 0 || s.OnMS > s.StartMS || s.DoorsMS != 0 && (s.DoorsMS < s.OnMS || s.DoorsMS > s.StartMS) {
		return false
	}
	if s.EndMS == 0 {
		return s.OffMS == 0
	}
	return s.EndMS > s.StartMS && s.OffMS >= s.EndMS
}
