package web

import (
	"context"
	"sync"
	"time"
)

// shelved bounds the views that are kept at once.
const shelved = 256

// A shelf lets one view of a page serve all its readers for a while: what looks back
// over weeks costs more than the fleet's own page, and changes less.
type shelf struct {
	hold time.Duration

	mu    sync.Mutex // guards views
	views map[string]*kept
}

// kept is one page's view. Its lock is held while the view is made, so that it is
// made once.
type kept struct {
	sync.Mutex
	view view
	at   time.Time
}

// get answers the view of a page, made anew when it is too old. An error is not kept.
func (s *shelf) get(ctx context.Context, page string, fresh func(context.Context) (view, error)) (view, error) {
	k := s.place(page)
	k.Lock()
	defer k.Unlock()
	now := time.Now()
	if !k.at.IsZero() && now.Sub(k.at) < s.hold {
		return k.view, nil
	}
	v, err := fresh(ctx)
	if err == nil {
		k.view, k.at = v, now
	}
	return v, err
}

func (s *shelf) place(page string) *kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views[page] == nil {
		if len(s.views) >= shelved {
			s.views = nil // it fills again with what is read now
		}
		if s.views == nil {
			s.views = map[string]*kept{}
		}
		s.views[page] = &kept{}
	}
	return s.views[page]
}
