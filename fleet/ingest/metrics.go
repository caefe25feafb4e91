package ingest

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	blocks        *prometheus.CounterVec // lane, result
	refused       *prometheus.CounterVec // region, venue, node, reason
	samples       *prometheus.CounterVec // result
	records       *prometheus.CounterVec // kind
	deadRecords   prometheus.Counter
	unauthorized  prometheus.Counter
	commitSeconds prometheus.Histogram
	applyFailures prometheus.Counter
	barriers      prometheus.Counter
	overflow      *prometheus.CounterVec // region, venue, node, reason
	resyncs       prometheus.Counter
	calendars     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, i *Ingest) (*metrics, error) {
	m := &metrics{
		blocks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_blocks_total", Help: "Blocks acknowledged, by lane and by whether they were new (accepted) or held already (duplicate).",
		}, []string{"lane", "result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_blocks_refused_total", Help: "Requests of nodes that were refused, by node and reason.",
		}, []string{"region", "venue", "node", "reason"}),
		samples: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_samples_total", Help: "Samples applied since start, by what became of them: stored, nan, parked or dead. Replays count again.",
		}, []string{"result"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_records_total", Help: "Records of known kinds seen since start, by kind. Replays count again.",
		}, []string{"kind"}),
		deadRecords: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ghostlight_fleet_dead_records_seen_total", Help: "Records that can never be stored, since start. Replays count again.",
		}),
		unauthorized: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ghostlight_fleet_unauthorized_total", Help: "Requests to the ingest without the credential of a node.",
		}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ghostlight_fleet_journal_commit_seconds", Help: "Time to commit a group of blocks to the journal.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
		}),
		applyFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ghostlight_fleet_apply_failures_total", Help: "Times that applying blocks to the stores failed and will be tried again.",
		}),
		barriers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ghostlight_fleet_barriers_total", Help: "Times that the stores were made durable and the journal was trimmed.",
		}),
		overflow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ghostlight_fleet_node_overflow_total", Help: "Requests refused because their node was over a limit of its own: series, bytes or samples. They were to be sent again.",
		}, []string{"region", "venue", "node", "reason"}),
	}
	m.resyncs = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ghostlight_fleet_stream_resyncs_total", Help: "Times that a node was told to begin the coding of its stream anew.",
	})
	m.calendars = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ghostlight_fleet_calendars_sent_total", Help: "Calendars of shows sent to nodes that held another one.",
	})
	gauge := func(name, help string, fn func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, fn)
	}
	collectors := []prometheus.Collector{
		m.blocks, m.refused, m.samples, m.records, m.deadRecords, m.unauthorized, m.commitSeconds, m.applyFailures, m.barriers, m.overflow, m.resyncs, m.calendars,
		gauge("ghostlight_fleet_journal_bytes", "Bytes of blocks, and of the names of their series, in the journal.", func() float64 { b, _ := i.journal.size(); return float64(b) }),
		gauge("ghostlight_fleet_journal_blocks", "Blocks in the journal.", func() float64 { _, n := i.journal.size(); return float64(n) }),
		gauge("ghostlight_fleet_unapplied_blocks", "Highest block accepted less highest block applied.", func() float64 { return float64(i.journal.lastID() - i.applied.Load()) }),
		gauge("ghostlight_fleet_streams", "Streams of nodes that are open.", func() float64 { return float64(i.streams.count()) }),
		&aside{i.journal},
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (j *journal) size() (bytes, blocks int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes, j.blocks
}
