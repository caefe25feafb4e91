// Package crashtest runs programs to kill them, and says how long the sweeps are
// that look at what is left: short with every test, long with `make crash`.
package crashtest

import (
	"os"
	"strconv"
	"testing"
)

// Kills is how often a sweep kills: the environment variable KILLS, else short.
func Kills(t *testing.T, short int) int {
	t.Helper()
	text := os.Getenv("KILLS")
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("KILLS=%q is not a number of kills", text)
	}
	return n
}
