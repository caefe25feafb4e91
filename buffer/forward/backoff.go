package forward

import "time"

const (
	firstDelay = 250 * time.Millisecond
	longestCap = 5 * time.Second
)

// delay is how long to wait after a number of failures in a row, at least 1: full
// jitter under a ceiling that doubles up to 5 s, so that a fleet that comes back
// is not met by all its nodes at once.
// Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
func delay(failures int, random func() float64) time.Duration {
	ceiling := longestCap
	if failures < 6 {
		ceiling = min(ceiling, firstDelay<<(failures-1))
	}
	return time.Duration(random() * float64(ceiling))
}
