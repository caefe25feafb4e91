package registry

import (
	"testing"
	"time"

	"ghostlight/buffer/wire"
)

// The estimate is that of the message that was under way the shortest, among the
// last ones, so that a clock that is set is followed.
func TestClockOffset(t *testing.T) {
	base := time.UnixMilli(1_790_000_000_000)
	var o offset
	if got := o.ahead(); got != 0 {
		t.Errorf("without a word it is %s", got)
	}
	say := func(ahead time.Duration, transits ...time.Duration) {
		for i, transit := range transits {
			sent := base.Add(time.Duration(i) * time.Second)
			o.note(sent.Add(ahead).UnixMilli(), sent.Add(transit))
		}
	}
	say(3*time.Second, 900*time.Millisecond, 20*time.Millisecond, 5*time.Second)
	if got, want := o.ahead(), 2980*time.Millisecond; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	slow := make([]time.Duration, clockBeats)
	for i := range slow {
		slow[i] = 100 * time.Millisecond
	}
	say(-time.Hour, slow...)
	if got, want := o.ahead(), -time.Hour-100*time.Millisecond; got != want {
		t.Errorf("after the clock was set back it is %s, want %s", got, want)
	}
}

// A wrong clock is shown as soon as the node has said hello, by either way, and
// also after a restart; a beat tells when it is right again.
func TestAWrongClockIsShown(t *testing.T) {
	dir := t.TempDir()
	r, _, end := open(t, dir, false)
	now := time.Now()
	r.now = func() time.Time { return now }
	wrong := func(r *Registry, want bool) {
		t.Helper()
		if v := presence(t, r, soho); v.ClockWrong != want {
			t.Errorf("its clock is shown as wrong: %v, want %v (ahead by %s)", v.ClockWrong, want, v.ClockOffset)
		}
	}
	if _, err := r.Heartbeat(soho, wire.Heartbeat{SentMS: now.Add(72 * time.Hour).UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	wrong(r, true)
	if err := r.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	r, _, end = open(t, dir, false)
	defer end()
	wrong(r, true)
	r.now = func() time.Time { return now }
	received, err := r.Beat(soho, now.Add(-time.Second).UnixMilli())
	if err != nil || !received.Equal(now) {
		t.Errorf("the beat was received at %s (%v), want %s", received, err, now)
	}
	wrong(r, false)
	if v := presence(t, r, soho); v.Presence != Live {
		t.Errorf("after a beat it is %s", v.Presence)
	}
}
