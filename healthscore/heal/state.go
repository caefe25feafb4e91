package heal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrState means that the state to restore is not what an engine wrote.
var ErrState = errors.New("heal state is malformed")

const stateVersion = 1

// state is what survives a restart.
type state struct {
	Version int         `json:"version"`
	Seq     int64       `json:"seq"`  // of the last record
	Hash    string      `json:"hash"` // of the last record
	Recent  []startedAt `json:"recent,omitempty"`
	Open    *openAction `json:"open,omitempty"` // started, result not recorded
}

// startedAt is one run of an action: those of the last hour, and the last of
// each action for its cool-down.
type startedAt struct {
	Action string `json:"action"`
	AtMS   int64  `json:"at_ms"`            // start
	EndMS  int64  `json:"end_ms,omitempty"` // 0 while it runs, or when its end was not seen
}

type openAction struct {
	Action string `json:"action"`
	Reason string `json:"reason"`
}

func decodeState(raw []byte) (state, error) {
	if raw == nil {
		return state{Version: stateVersion}, nil
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return state{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.Version != stateVersion || s.Seq < 0 || (s.Seq == 0) != (s.Hash == "") {
		return state{}, fmt.Errorf("%w: version %d, sequence %d", ErrState, s.Version, s.Seq)
	}
	return s, nil
}

func (s state) encode() []byte {
	doc, _ := json.Marshal(s) // strings and integers only: cannot fail
	return doc
}

func (s state) clone() state {
	s.Recent = slices.Clone(s.Recent)
	return s
}

// start notes that the action starts, and forgets what no limit needs any more.
func (s *state) start(action string, now time.Time) {
	s.Recent = slices.DeleteFunc(slices.Clone(s.Recent), func(r startedAt) bool {
		return r.Action == action && now.UnixMilli()-r.AtMS >= hourMS
	})
	s.Recent = append(s.Recent, startedAt{Action: action, AtMS: now.UnixMilli()})
}

const hourMS = int64(time.Hour / time.Millisecond)

// end notes that the action that started last has ended.
func (s *state) end(now time.Time) {
	s.Recent = slices.Clone(s.Recent)
	if n := len(s.Recent); n > 0 {
		s.Recent[n-1].EndMS = now.UnixMilli()
	}
}

// rebase moves runs that lie in the future, from before the clock was set back,
// to now: they hold their limits for their time, not for ever.
func (s *state) rebase(now time.Time) {
	for i := range s.Recent {
		s.Recent[i].AtMS = min(s.Recent[i].AtMS, now.UnixMilli())
		s.Recent[i].EndMS = min(s.Recent[i].EndMS, now.UnixMilli())
	}
}

// cooling reports whether the action ended less than coolDown ago.
func (s *state) cooling(action string, now time.Time, coolDown time.Duration) bool {
	return slices.ContainsFunc(s.Recent, func(r startedAt) bool {
		return r.Action == action && now.UnixMilli()-max(r.AtMS, r.EndMS) < coolDown.Milliseconds()
	})
}

// starts counts the starts within the last hour, of all actions when action is "".
func (s *state) starts(action string, now time.Time) int {
	n := 0
	for _, r := range s.Recent {
		if (action == "" || r.Action == action) && now.UnixMilli()-r.AtMS < hourMS {
			n++
		}
	}
	return n
}
