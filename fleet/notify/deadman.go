package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// A DeadMan tells an address outside, from time to time, that the centre works. When
// it falls silent, whoever watches that address rings somebody: it is the one alarm
// that the centre cannot raise itself.
type DeadMan struct {
	URL    string
	Method string        // GET or POST; empty: POST
	Every  time.Duration // at least a second; 0: a minute
	// Working reports why the centre does not work, and nil if it does. The address
	// is told only then. It must return when ctx ends.
	Working func(ctx context.Context) error
	Client  *http.Client // nil: http.DefaultClient
	Log     *slog.Logger // nil: slog.Default
}

const deadManTimeout = 10 * time.Second

// Validate reports what cannot work, and fills in what is left open.
func (d *DeadMan) Validate() error {
	if err := checkURL(d.URL); err != nil {
		return fmt.Errorf("dead man's switch: %w", err)
	}
	if d.Method == "" {
		d.Method = http.MethodPost
	}
	if d.Every == 0 {
		d.Every = time.Minute
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	switch {
	case d.Method != http.MethodGet && d.Method != http.MethodPost:
		return fmt.Errorf("dead man's switch is %w: method %q; allowed: GET, POST", ErrInvalid, d.Method)
	case d.Every < time.Second:
		return fmt.Errorf("dead man's switch is %w: every %s; allowed: 1s or more", ErrInvalid, d.Every)
	case d.Working == nil:
		return fmt.Errorf("dead man's switch is %w: nothing tells whether the centre works", ErrInvalid)
	}
	return nil
}

// Run tells the address at once and then at each interval until ctx ends.
func (d *DeadMan) Run(ctx context.Context) error {
	if err := d.Validate(); err != nil {
		return err
	}
	beat := time.NewTicker(d.Every)
	defer beat.Stop()
	failing := false
	for {
		err := d.tell(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			d.Log.Error("dead man's switch is not told that the centre works", "error", err)
		case err == nil && failing:
			d.Log.Info("dead man's switch is told again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

func (d *DeadMan) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(d.Every, deadManTimeout))
	defer cancel()
	if err := d.Working(ctx); err != nil {
		return fmt.Errorf("the centre does not work: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, d.Method, d.URL, nil)
	if err != nil {
		return err
	}
	return do(orDefault(d.Client), req)
}
