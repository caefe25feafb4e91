package demo

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"ghostlight/internal/daemon"
)

// The battery that keeps a venue's node alive without mains: what it holds at
// first, and how fast it empties.
const (
	batteryFull = 0.96
	batteryLife = 9 * time.Hour // from full to empty
	batteryTick = 15 * time.Second
)

// drainBatteries lets the batteries of all venues run down until ctx ends. They are
// files such as Linux shows of a battery.
func (d *demo) drainBatteries(ctx context.Context) error {
	for start := time.Now(); ; {
		charge := batteryFull - float64(time.Since(start))/float64(batteryLife)
		for _, v := range d.layout.venues {
			if err := writeBattery(d.layout.power(v), charge); err != nil {
				return err
			}
		}
		if !daemon.Sleep(ctx, batteryTick) {
			return nil
		}
	}
}

// writeBattery shows a battery of the given charge, 0 to 1, in a folder as
// /sys/class/power_supply is.
func writeBattery(dir string, charge float64) error {
	at := filepath.Join(dir, "BAT0")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return folderError(err)
	}
	percent := math.Round(100 * min(1, max(0, charge)))
	for file, text := range map[string]string{"type": "Battery", "status": "Discharging", "capacity": fmt.Sprint(percent)} {
		// Whoever reads it meanwhile sees the old file or the new one.
		fresh := filepath.Join(at, file+".new")
		if err := os.WriteFile(fresh, []byte(text+"\n"), 0o644); err != nil {
			return folderError(err)
		}
		if err := os.Rename(fresh, filepath.Join(at, file)); err != nil {
			return folderError(err)
		}
	}
	return nil
}
