package demo

import (
	"os"
	"path/filepath"
	"testing"
)

// A venue's battery reads as one that Linux shows.
func TestBatteryFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "power")
	for _, c := range []struct {
		charge float64
		want   string
	}{{0.964, "96\n"}, {0.5, "50\n"}, {-0.1, "0\n"}, {1.5, "100\n"}} {
		if err := writeBattery(dir, c.charge); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "BAT0", "capacity"))
		if err != nil || string(got) != c.want {
			t.Errorf("charge %v reads %q, want %q (%v)", c.charge, got, c.want, err)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "BAT0"))
	if err != nil || len(left) != 3 {
		t.Errorf("%d files (%v), want capacity, status and type", len(left), err)
	}
}
