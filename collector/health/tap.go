package health

import (
	"math"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/healthscore"
)

// edgecoreGauge says whether a gauge is kept and which signal it is, if any.
func edgecoreGauge(name string) (signal string, kept bool) {
	switch name {
	case "edgecore_settlement_oldest_seconds":
		return healthscore.SettlementOldest, true
	case "edgecore_cache_corrupt_objects":
		return healthscore.CacheCorrupt, true
	case "edgecore_ledger_writable":
		return healthscore.LedgerWritable, true
	case "edgecore_hub_reachable", "edgecore_settlement_pending":
		return "", true
	}
	return "", false
}

// Tap takes readings from a batch of metrics that was stored.
func (m *Monitor) Tap(b delta.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var cpu cpuTimes
	var memory memoryUse
	for _, s := range b.Series {
		if len(s.Samples) == 0 {
			continue
		}
		smp := s.Samples[len(s.Samples)-1]
		switch name := label(s.Labels, "__name__"); name {
		case "up":
			if m.o.EdgecoreInstance != "" && label(s.Labels, "instance") == m.o.EdgecoreInstance {
				m.set(healthscore.EdgecoreUp, smp)
				m.countFailure(smp.Value)
			}
		case "system_cpu_time_seconds_total":
			cpu.add(label(s.Labels, "state"), smp)
		case "system_memory_usage_bytes":
			memory.add(label(s.Labels, "state"), smp)
		default:
			signal, kept := edgecoreGauge(name)
			if !kept || label(s.Labels, "instance") != m.o.EdgecoreInstance {
				continue
			}
			m.gauges[name] = reading(smp)
			if signal != "" {
				m.set(signal, smp)
			}
		}
	}
	m.host(cpu, memory)
}

// set keeps a sample as a signal's reading. The caller holds mu.
func (m *Monitor) set(signal string, smp delta.Sample) { m.readings[signal] = reading(smp) }

// reading is a sample as a reading; a stale marker is unknown.
func reading(smp delta.Sample) healthscore.Reading {
	return healthscore.Reading{Value: smp.Value, Known: !math.IsNaN(smp.Value), At: time.UnixMilli(smp.Time)}
}

func (m *Monitor) countFailure(up float64) {
	if up == 1 {
		m.failures = 0
	} else {
		m.failures++
	}
}

// host turns processor times and memory use into ratios. The caller holds mu.
func (m *Monitor) host(cpu cpuTimes, memory memoryUse) {
	if cpu.at > 0 {
		if busy, ok := cpu.busySince(m.cpu); ok {
			m.set(healthscore.CPUBusyRatio, delta.Sample{Time: cpu.at, Value: busy})
		}
		m.cpu = cpu
	}
	if memory.total > 0 {
		m.set(healthscore.MemoryUsedRatio, delta.Sample{Time: memory.at, Value: memory.used / memory.total})
	}
}

// cpuTimes sums the seconds of all processors.
type cpuTimes struct {
	at         int64 // Unix milliseconds
	idle, both float64
}

func (c *cpuTimes) add(state string, smp delta.Sample) {
	c.at = smp.Time
	c.both += smp.Value
	if state == "idle" || state == "wait" {
		c.idle += smp.Value
	}
}

// busySince is the share of time spent busy since an earlier sum.
func (c cpuTimes) busySince(before cpuTimes) (float64, bool) {
	both, idle := c.both-before.both, c.idle-before.idle
	if before.at == 0 || both <= 0 || idle < 0 || idle > both {
		return 0, false
	}
	return 1 - idle/both, true
}

// memoryUse sums memory by what it is used for; slabs are part of used or of
// cached already.
type memoryUse struct {
	at          int64
	used, total float64
}

func (u *memoryUse) add(state string, smp delta.Sample) {
	switch state {
	case "used":
		u.used += smp.Value
		u.total += smp.Value
	case "free", "buffered", "cached":
		u.total += smp.Value
	}
	u.at = smp.Time
}

func label(ls []delta.Label, name string) string {
	for _, l := range ls {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}
