package tsdb

import "github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"

// snapshots lists those that exist now.
func snapshots() []string { return vmstorage.Storage.MustListSnapshots() }
