package forward

import (
	"log/slog"
	"sync"

	"ghostlight/buffer/wire"
)

// calendars passes on what the fleet says of its calendar, and remembers what the
// fleet need not say again.
type calendars struct {
	tell func(wire.Calendar) // nil: nobody wants it

	mu     sync.Mutex
	held   string // guarded by mu; digest of what was passed on last, empty while nothing was
	broken bool   // guarded by mu; the last one could not be read, and that was said
}

// digest is what a heartbeat says of the calendar.
func (c *calendars) digest() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.tell == nil:
		return ""
	case c.held == "":
		return wire.NoCalendar
	}
	return c.held
}

// take passes a calendar on, unless it is the one that is held.
func (c *calendars) take(calendar wire.Calendar, digest string) {
	c.mu.Lock()
	news := c.held != digest
	c.held, c.broken = digest, false
	c.mu.Unlock()
	if news {
		c.tell(calendar)
	}
}

// failed reports whether it is news that a calendar could not be read.
func (c *calendars) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := !c.broken
	c.broken = true
	return news
}

// calendar takes a calendar that the fleet sent, by stream or by answer. One that
// cannot be read is counted and passed over: what is held stays, and blocks go on.
// Streams and posts take turns, so there is one call at a time.
func (f *Forwarder) calendar(body []byte) {
	if f.calendars.tell == nil {
		return
	}
	c, digest, err := wire.ParseCalendar(body)
	if err != nil {
		f.state.badCalendar(err)
		if f.calendars.failed() {
			f.o.Log.Warn("calendar of the fleet cannot be read; the one before stays in force", slog.Any("error", err))
		}
		return
	}
	f.calendars.take(c, digest)
}
