package store

import (
	"context"
	"errors"
	"sync"
)

// ErrStopping means that the sink was held, for a planned stop, when the agent
// stopped: the telemetry was not stored.
var ErrStopping = errors.New("the agent stops and stores nothing more")

// A gate lets everybody through unless somebody holds it.
type gate struct {
	mu     sync.Mutex
	inside int           // who is through and not out again; guarded by mu
	held   bool          // guarded by mu
	ending bool          // nobody waits for a hold any more; guarded by mu
	moved  chan struct{} // closed when inside falls to 0 or the hold ends; guarded by mu
}

// enter returns once the gate is open, or with ctx's error, or with ErrStopping
// if it will not open in time. leave ends what enter began.
func (g *gate) enter(ctx context.Context) error {
	refused := false
	err := g.await(ctx, func() bool {
		switch {
		case g.held && g.ending:
			refused = true
		case g.held:
			return false
		default:
			g.inside++
		}
		return true
	})
	if refused {
		return ErrStopping
	}
	return err
}

// end makes everybody who waits for a hold give up, now and later.
func (g *gate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ending = true
	g.wake()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 {
		g.wake()
	}
}

// hold shuts the gate, in its turn, and returns once everybody is out.
func (g *gate) hold(ctx context.Context) (release func(), err error) {
	err = g.await(ctx, func() bool {
		if g.held {
			return false
		}
		g.held = true
		return true
	})
	if err != nil {
		return nil, err
	}
	release = sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.held = false
		g.wake()
	})
	if err := g.await(ctx, func() bool { return g.inside == 0 }); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// await calls try, with mu held, until it succeeds or ctx ends.
func (g *gate) await(ctx context.Context, try func() bool) error {
	for {
		g.mu.Lock()
		if try() {
			g.mu.Unlock()
			return nil
		}
		if g.moved == nil {
			g.moved = make(chan struct{})
		}
		moved := g.moved
		g.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) wake() {
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
}
