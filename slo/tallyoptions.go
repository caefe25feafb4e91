package slo

import (
	"errors"
	"time"
)

// TallyOptions tunes a [Tally]. The zero value means the defaults.
type TallyOptions struct {
	// Load returns what an earlier [Emission] asked to store under key, or nil
	// when there is nothing. Without it the tally starts empty and remembers only
	// Horizon.
	Load func(key string) ([]byte, error)
	// Horizon is how far from now minutes stay in memory, 48 h by default.
	Horizon time.Duration
	// Revise is how often the open minute is told at most, 10 s by default: once in
	// each such time of the wall clock.
	Revise time.Duration
	// Lapse is the longest time between two looks that still counts as watching,
	// 30 s by default.
	Lapse time.Duration
	// Absence is the longest absence that is attested minute by minute, 35 d by
	// default. What is older stays pending.
	Absence time.Duration
	// Batch is the most minutes one look closes, 1440 by default: after a long
	// absence several looks catch up.
	Batch int
	// Lag is how long after its end a minute stays open, because its events are
	// known only later; 0 by default.
	Lag time.Duration
}

func (o TallyOptions) withDefaults() (TallyOptions, error) {
	if o.Horizon < 0 || o.Revise < 0 || o.Lapse < 0 || o.Absence < 0 || o.Batch < 0 || o.Lag < 0 {
		return o, errors.New("tally options must not be negative")
	}
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Horizon, 48*time.Hour)
	set(&o.Revise, 10*time.Second)
	set(&o.Lapse, 30*time.Second)
	set(&o.Absence, 35*24*time.Hour)
	if o.Batch == 0 {
		o.Batch = 1440
	}
	return o, nil
}
