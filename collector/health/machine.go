package health

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// diskUsed is the used share of the file system that holds dir, as its users see
// it: space that only root may take counts as used.
func diskUsed(dir string) (float64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	return 1 - float64(st.Bavail)/float64(st.Blocks), true
}

// battery is the charge of the emptiest battery that the system lists, 0 to 1;
// ok is false on a machine without one.
func battery(dir string) (charge float64, ok bool) {
	if dir == "" {
		return 0, false
	}
	supplies, err := filepath.Glob(filepath.Join(dir, "*", "capacity"))
	if err != nil {
		return 0, false
	}
	charge = 1
	for _, path := range supplies {
		kind, err := os.ReadFile(filepath.Join(filepath.Dir(path), "type"))
		if err != nil || strings.TrimSpace(string(kind)) != "Battery" {
			continue
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		percent, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil || percent < 0 || percent > 100 {
			continue
		}
		charge, ok = min(charge, float64(percent)/100), true
	}
	return charge, ok
}
