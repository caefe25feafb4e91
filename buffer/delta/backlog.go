package delta

import (
	"slices"
	"unsafe"

	"ghostlight/buffer"
)

// A backlog is the state that frames aside are coded against: what a stream has
// from an outage comes newest first, each frame older than the one before, while
// fresh frames go on between them. Both have series of the same names, so each
// goes on from its own last values. Frames aside are coded from their last sample
// to their first: then one ends where the next begins.
type backlog struct {
	tracks []track
	model  model
	idle   int // frames that were not aside since the last one that was
}

const backlogBytes = int64(unsafe.Sizeof(backlog{}))

// backlogIdle is after how many fresh frames in a row a backlog is thought to be
// drained, and its state dropped.
const backlogIdle = 32

// aside turns the state to the backlog, before a frame aside of layout l is
// coded. What the backlog does not know yet it takes from what is fresh.
func (s *state) aside(l *layout) {
	if s.back == nil {
		s.back = &backlog{model: s.fresh}
	}
	b := s.back
	b.tracks = append(grown(b.tracks, len(s.tracks)), s.tracks[len(b.tracks):]...)
	if l.past == nil {
		l.past = slices.Clone(l.clocks)
	}
	s.tracks, b.tracks = b.tracks, s.tracks
	l.clocks, l.past = l.past, l.clocks
	s.m, s.backward, b.idle = &b.model, true, 0
}

// ahead turns the state back to what is fresh.
func (s *state) ahead(l *layout) {
	s.tracks, s.back.tracks = s.back.tracks, s.tracks
	l.clocks, l.past = l.past, l.clocks
	s.m, s.backward = &s.fresh, false
}

// settle counts a frame that was not aside.
func (s *state) settle() {
	if s.back == nil {
		return
	}
	if s.back.idle++; s.back.idle < backlogIdle {
		return
	}
	s.back = nil
	for i := range s.layouts {
		s.layouts[i].past = nil
	}
}

// nth is where the sample that is coded as the j-th of n stands.
func (s *state) nth(j, n int) int {
	if s.backward {
		return n - 1 - j
	}
	return j
}

// A front is the newest that an encoder has coded. Sequences tell what lies behind
// it; times do only between sessions, for a clock may be set.
type front struct {
	open    bool
	session buffer.Session
	seqs    [8]buffer.Seq
	time    int64 // latest of the last frame at the front, Unix milliseconds
}

// asideAfter is how far from the front a single frame lies, in milliseconds, to be
// coded aside: those that are only a little out of order are not. Merged frames
// always are.
const asideAfter = 20_000

// aside reports whether a frame is to be coded aside. If not, the front moves on.
func (f *front) aside(at Stamp, latest int64) bool {
	behind, known := latest < f.time, buffer.Seq(0)
	if at.Session == f.session {
		if known = f.seqs[at.Lane]; known > 0 {
			behind = at.Seq <= known
		}
	}
	behind = behind && f.open
	gap := uint64(max(latest, f.time)) - uint64(min(latest, f.time))
	if behind && (at.Start() != at.Seq || gap > asideAfter) {
		return true
	}
	if at.Session != f.session {
		f.session, f.seqs = at.Session, [8]buffer.Seq{}
	}
	f.open, f.seqs[at.Lane] = true, max(at.Seq, known)
	if !behind {
		f.time = latest
	}
	return false
}
