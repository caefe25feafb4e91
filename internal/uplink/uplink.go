// Package uplink is a venue's way to the outside as a fault proxy: one listener
// for each route (to the fleet, to the hub), each passing HTTP/1.1 and HTTP/2 in
// clear (with prior knowledge) to its backend, with faults that can be set, timed
// and combined while it runs. A request over HTTP/2 whose body has no length is a
// stream: both of its directions flow at the same time, flushed at once.
//
// Faults of the line work on bytes and connections: cut, delay, throttle and
// half-open. Faults of the network's middle work on requests: duplicate and
// reorder. A stream cannot be sent twice or overtaken; instead these two lose
// parts of its answer and break it, so that its sender repeats what it does not
// know to have arrived. Without a fault an uplink changes nothing that a client
// can see, except that pings of HTTP/2 are answered here. It never invents an
// answer: when the backend cannot be reached the client's connection, or its
// stream, breaks.
//
// Every queue is bounded, and what a fault did is counted per route.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"sync"
	"time"
)

// A Route is one way out: what connects to Listener is passed to Backend.
type Route struct {
	Name     string       // such as "fleet" or "hub"
	Listener net.Listener // owned by the uplink from New on
	Backend  string       // host:port
}

// Options describe one venue's uplink.
type Options struct {
	Routes []Route
}

// An Uplink is the way out of one venue. All methods are safe for concurrent
// use; faults may be set before and while Run runs.
type Uplink struct {
	routes map[string]*route
	names  []string
}

// New validates the options; connections are taken once Run runs.
func New(opts Options) (*Uplink, error) {
	if len(opts.Routes) == 0 {
		return nil, errors.New("uplink: no route")
	}
	u := &Uplink{routes: make(map[string]*route, len(opts.Routes))}
	for _, r := range opts.Routes {
		if r.Name == "" || u.routes[r.Name] != nil {
			return nil, fmt.Errorf("uplink: route name %q is empty or twice", r.Name)
		}
		if r.Listener == nil {
			return nil, fmt.Errorf("uplink: route %s has no listener", r.Name)
		}
		if _, _, err := net.SplitHostPort(r.Backend); err != nil {
			return nil, fmt.Errorf("uplink: route %s: backend %q is not host:port: %w", r.Name, r.Backend, err)
		}
		u.routes[r.Name] = newRoute(r)
		u.names = append(u.names, r.Name)
	}
	sort.Strings(u.names)
	return u, nil
}

// Run passes traffic until ctx ends, then breaks what is open and returns nil.
// An error means that a listener failed.
func (u *Uplink) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards errs
		errs []error
	)
	for _, name := range u.names {
		wg.Go(func() {
			if err := u.routes[name].run(ctx); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("uplink route %s: %w", name, err))
				mu.Unlock()
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Set puts a fault on the line and returns what takes it off again; after
// f.For, unless that is 0, it goes by itself. Faults add up: delays sum, the
// lowest rate wins, one cut is enough. Taking off is idempotent.
func (u *Uplink) Set(f Fault) (clear func(), err error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	names := f.Routes
	if len(names) == 0 {
		names = u.names
	}
	for _, name := range names {
		if u.routes[name] == nil {
			return nil, fmt.Errorf("uplink: route %q is unknown; allowed: %v", name, u.names)
		}
	}
	clears := make([]func(), 0, len(names))
	for _, name := range names {
		clears = append(clears, u.routes[name].faults.set(f))
	}
	all := func() {
		for _, c := range clears {
			c()
		}
	}
	if f.For > 0 {
		timer := time.AfterFunc(f.For, all)
		return func() { timer.Stop(); all() }, nil
	}
	return all, nil
}

// Counts is what happened on each route since New.
func (u *Uplink) Counts() map[string]Counts {
	out := make(map[string]Counts, len(u.routes))
	for name, r := range u.routes {
		out[name] = r.counts.read()
	}
	return out
}

// Clear takes every fault off the line.
func (u *Uplink) Clear() {
	for _, r := range u.routes {
		r.faults.clear()
	}
}
