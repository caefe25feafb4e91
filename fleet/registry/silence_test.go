package registry

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

func TestSilencesOverARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _, end := open(t, dir, true)
		begin := time.Now()
		at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
		beat := func(goodbye bool) {
			t.Helper()
			if _, err := r.Heartbeat(soho, wire.Heartbeat{Goodbye: goodbye}); err != nil {
				t.Fatal(err)
			}
		}
		silences := func(from, to int) map[buffer.Source]Silence {
			t.Helper()
			out, err := r.Silences(t.Context(), at(from), at(to))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		beat(false)
		time.Sleep(2 * time.Minute)
		beat(false) // dark from 0 to 2
		beat(true)
		time.Sleep(2 * time.Minute) // packed up from 2 on
		want := map[buffer.Source]Silence{
			soho:   {FirstSeen: begin, Dark: []Episode{{at(0), at(2)}}, Away: []Episode{{Start: at(2)}}},
			camden: {},
		}
		if diff := cmp.Diff(want, silences(0, 5)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		beat(false) // back at 4
		want[soho] = Silence{FirstSeen: begin, Dark: []Episode{{at(0), at(2)}}, Away: []Episode{{at(2), at(4)}}}
		if diff := cmp.Diff(want, silences(0, 5)); diff != "" {
			t.Errorf("back (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute) // dark from 4 on
		end()
		time.Sleep(time.Minute)
		r, _, end = open(t, dir, true)
		defer func() { end() }()
		want[soho] = Silence{FirstSeen: begin, Dark: []Episode{{at(0), at(2)}, {Start: at(4)}}, Away: []Episode{{at(2), at(4)}}}
		if diff := cmp.Diff(want, silences(0, 5)); diff != "" {
			t.Errorf("from the store (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(Silence{FirstSeen: begin, Dark: []Episode{{Start: at(4)}}}, silences(4, 5)[soho]); diff != "" {
			t.Errorf("of a minute (-want +got):\n%s", diff)
		}
		if got := presence(t, r, soho).LastDark; got != (Episode{Start: at(4)}) {
			t.Errorf("last dark %+v", got)
		}
		beat(false)
		if diff := cmp.Diff(Episode{at(4), at(6)}, presence(t, r, soho).LastDark); diff != "" {
			t.Errorf("last dark (-want +got):\n%s", diff)
		}
		if down := r.Down(); len(down) != 1 || !down[0].End.Equal(at(6)) || down[0].Start.Before(at(5).Add(-2*saveEvery)) {
			t.Errorf("down %+v", down)
		}
	})
}
