package cache

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A Report is the outcome of a verification or a repair.
type Report struct {
	Objects   int `json:"objects"`             // held now
	Corrupt   int `json:"corrupt"`             // found corrupt since the last repair
	Refetched int `json:"refetched,omitempty"` // of these, fetched anew or withdrawn by the hub
	Failed    int `json:"failed,omitempty"`    // of these, still without a good copy
}

// Run walks all objects again and again, each round spread over the verify
// interval, until ctx ends. An object the hub has not vouched for longer than
// MaxStale can no longer be served and is removed.
func (c *Cache) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		keys, err := c.list()
		if err != nil {
			c.o.Log.Warn("cache could not be verified", "error", err)
		}
		pause := c.o.VerifyInterval / time.Duration(max(len(keys), 1))
		for i := range max(len(keys), 1) {
			timer.Reset(pause)
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			if i < len(keys) {
				c.check(keys[i])
			}
		}
	}
}

// Verify checks every object now.
func (c *Cache) Verify(ctx context.Context) (Report, error) {
	keys, err := c.list()
	if err != nil {
		return Report{}, err
	}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		c.check(key)
	}
	held, corrupt := c.counts()
	return Report{Objects: held, Corrupt: corrupt}, nil
}

// Repair verifies every object and fetches anew each that was found corrupt, now
// or since the last repair. What could not be fetched stays corrupt, unserved.
func (c *Cache) Repair(ctx context.Context) (Report, error) {
	report, err := c.Verify(ctx)
	if err != nil {
		return Report{}, err
	}
	for _, key := range c.corruptKeys() {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		if !c.refetch(ctx, key) {
			report.Failed++
			continue
		}
		report.Refetched++
		c.metrics.repairs.Inc()
	}
	report.Objects, _ = c.counts()
	c.o.Log.Info("cache repaired", "objects", report.Objects, "corrupt", report.Corrupt, "refetched", report.Refetched, "failed", report.Failed)
	return report, nil
}

// refetch replaces one object, whether or not the hub was left alone before: a
// repair is asked for, and asked for now.
func (c *Cache) refetch(ctx context.Context, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	obj, err := c.o.Origin.Fetch(ctx, key, "")
	c.settle(key, obj, err)
	if err == nil {
		_, err = c.store.read(key)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false
	}
	c.mu.Lock()
	delete(c.corrupt, key)
	c.mu.Unlock()
	return true
}

// list reads the folder and brings the books in line with it.
func (c *Cache) list() ([]string, error) {
	keys, err := c.store.keys()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.held)
	for _, key := range keys {
		c.held[key] = true
	}
	return keys, nil
}

// check reads one object for its checksum and its age.
func (c *Cache) check(key string) {
	obj, err := c.read(key)
	switch {
	case err == nil && c.o.Now().Sub(obj.fetched) > c.o.MaxStale:
		err = c.drop(key)
	case errors.Is(err, errAbsent), errors.Is(err, errCorrupt):
		err = nil
	}
	if err != nil {
		c.o.Log.Warn("cache object could not be verified", "key", key, "error", err)
	}
}

func (c *Cache) corruptKeys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]string, 0, len(c.corrupt))
	for key := range c.corrupt {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
