// Package cache keeps what the hub publishes on the node's disk, so that a venue
// goes on selling while its uplink is down.
//
// It guarantees that a body is served only if its checksum held at that very
// read: a corrupt object is a miss. While the hub is away it serves what it has,
// marked stale, up to a maximum age; what it has survives a restart. It never
// serves an object the hub has withdrawn, and never asks an absent hub on behalf
// of each waiting guest.
package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

var (
	// ErrNotFound means that the hub has no such object.
	ErrNotFound = errors.New("the hub has no such object")
	// ErrUnavailable means that the hub is away and no usable copy is held.
	ErrUnavailable = errors.New("the hub is away and no copy is held")
	// ErrNotModified is an Origin's answer that the copy held is current.
	ErrNotModified = errors.New("not modified")
)

// An Origin is where objects come from.
type Origin interface {
	// Fetch returns the object named key. etag is that of the copy held, empty
	// if there is none. The error is [ErrNotModified] if that copy is current,
	// [ErrNotFound] if there is no such object; any other means that the origin
	// is away or answered nonsense.
	Fetch(ctx context.Context, key, etag string) (Object, error)
}

// A Result says where an answer came from.
type Result string

// The results of a read that served an object.
const (
	Hit   Result = "hit"   // held, and fresh or just confirmed by the hub
	Miss  Result = "miss"  // fetched from the hub now
	Stale Result = "stale" // held and past its time, with the hub away
)

// Time limits towards the hub.
const (
	fetchTimeout = 1500 * time.Millisecond
	restTime     = 2 * time.Second // after a failure the hub is left alone this long
)

// Options configure a cache.
type Options struct {
	Dir            string // its folder; objects lie in Dir/objects
	Origin         Origin
	TTL            time.Duration // how long an object is served without asking the hub
	MaxStale       time.Duration // how old an object may be served while the hub is away
	VerifyInterval time.Duration // time for the background verifier to walk all objects once
	Now            func() time.Time
	Log            *slog.Logger
}

// A Cache reads through to the hub.
type Cache struct {
	o       Options
	store   objects
	metrics *metrics

	mu      sync.Mutex
	held    map[string]bool    // keys stored; guarded by mu
	corrupt map[string]bool    // keys found corrupt and not repaired since; guarded by mu
	flights map[string]*flight // fetches under way, by key; guarded by mu
	rest    time.Time          // until when the hub is left alone; guarded by mu
}

// A flight is a fetch that several readers wait for.
type flight struct {
	done chan struct{}
	obj  Object
	err  error
}

// New opens the cache in its folder.
func New(o Options) (*Cache, error) {
	switch {
	case o.Dir == "" || o.Origin == nil || o.Now == nil || o.Log == nil:
		return nil, errors.New("cache needs a folder, an origin, a clock and a log")
	case o.TTL <= 0 || o.MaxStale < o.TTL || o.VerifyInterval <= 0:
		return nil, fmt.Errorf("cache times are out of range: ttl %v, max stale %v, verify interval %v", o.TTL, o.MaxStale, o.VerifyInterval)
	}
	store, err := openObjects(filepath.Join(o.Dir, "objects"))
	if err != nil {
		return nil, err
	}
	keys, err := store.keys()
	if err != nil {
		return nil, err
	}
	c := &Cache{o: o, store: store, held: map[string]bool{}, corrupt: map[string]bool{}, flights: map[string]*flight{}}
	for _, key := range keys {
		c.held[key] = true
	}
	c.metrics = newMetrics(c)
	return c, nil
}

// Get returns the object named key. The error is [ErrNotFound],
// [ErrUnavailable], or that of ctx.
func (c *Cache) Get(ctx context.Context, key string) (Object, Result, error) {
	if !validKey(key) {
		return Object{}, "", ErrNotFound
	}
	held, err := c.read(key)
	damaged := errors.Is(err, errCorrupt)
	usable := err == nil
	age := c.o.Now().Sub(held.fetched)
	if usable && age < c.o.TTL && age > -c.o.TTL {
		c.metrics.count("hit")
		return held.Object, Hit, nil
	}
	obj, err := c.fetch(ctx, key, held.ETag)
	switch {
	case err == nil && damaged:
		c.metrics.count("corrupt")
		return obj, Miss, nil
	case err == nil:
		c.metrics.count("miss")
		return obj, Miss, nil
	case errors.Is(err, ErrNotModified) && usable:
		c.metrics.count("hit")
		return held.Object, Hit, nil
	case errors.Is(err, ErrNotFound):
		c.metrics.count("miss")
		return Object{}, "", ErrNotFound
	case usable && age <= c.o.MaxStale:
		c.metrics.count("stale")
		return held.Object, Stale, nil
	}
	c.metrics.count("error")
	return Object{}, "", fmt.Errorf("%w (%s)", ErrUnavailable, key)
}

// read reads from disk and keeps the books of what is held and corrupt.
func (c *Cache) read(key string) (stored, error) {
	obj, err := c.store.read(key)
	if errors.Is(err, errCorrupt) {
		c.noteCorrupt(key)
	}
	return obj, err
}

func (c *Cache) noteCorrupt(key string) {
	c.mu.Lock()
	known := c.corrupt[key]
	c.corrupt[key] = true
	c.mu.Unlock()
	if !known {
		c.o.Log.Warn("cache object is corrupt; it will not be served", "key", key)
	}
}

// fetch asks the hub for key, together with whoever else wants it now, and stores
// what it gets.
func (c *Cache) fetch(ctx context.Context, key, etag string) (Object, error) {
	c.mu.Lock()
	if c.o.Now().Before(c.rest) {
		c.mu.Unlock()
		return Object{}, ErrUnavailable
	}
	if f := c.flights[key]; f != nil {
		c.mu.Unlock()
		select {
		case <-f.done:
			return f.obj, f.err
		case <-ctx.Done():
			return Object{}, ctx.Err()
		}
	}
	f := &flight{done: make(chan struct{})}
	c.flights[key] = f
	c.mu.Unlock()

	// Others wait for this fetch: it outlives the request that began it.
	fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	f.obj, f.err = c.o.Origin.Fetch(fetchCtx, key, etag)
	c.settle(key, f.obj, f.err)

	c.mu.Lock()
	delete(c.flights, key)
	c.mu.Unlock()
	close(f.done)
	return f.obj, f.err
}

// settle brings the disk in line with what the hub said. Trouble with the disk
// costs the copy, not the answer.
func (c *Cache) settle(key string, obj Object, err error) {
	var diskErr error
	switch now := c.o.Now(); {
	case err == nil:
		diskErr = c.put(key, obj, now)
	case errors.Is(err, ErrNotModified):
		diskErr = c.store.touch(key, now)
	case errors.Is(err, ErrNotFound):
		diskErr = c.drop(key)
	default:
		c.mu.Lock()
		c.rest = now.Add(restTime)
		c.mu.Unlock()
	}
	if diskErr != nil {
		c.o.Log.Warn("cache could not be written", "error", diskErr)
	}
}

// put stores an object, unless the folder is full.
func (c *Cache) put(key string, obj Object, now time.Time) error {
	c.mu.Lock()
	room := c.held[key] || len(c.held) < MaxObjects
	c.mu.Unlock()
	if !room {
		return fmt.Errorf("store object %s: the cache holds its most of %d objects", key, MaxObjects)
	}
	if err := c.store.write(key, obj, now); err != nil {
		return err
	}
	c.mu.Lock()
	c.held[key] = true
	c.mu.Unlock()
	return nil
}

// drop forgets an object.
func (c *Cache) drop(key string) error {
	if err := c.store.remove(key); err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.held, key)
	delete(c.corrupt, key)
	c.mu.Unlock()
	return nil
}

// counts returns how many objects are held, and how many were found corrupt and
// not repaired since.
func (c *Cache) counts() (held, corrupt int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held), len(c.corrupt)
}
