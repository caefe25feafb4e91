package store

import (
	"time"

	"ghostlight/buffer/delta"
)

const (
	// tellAgain is how often a metric's unit and help are repeated: the centre
	// keeps them, but the block that told them may have been given up.
	tellAgain = time.Hour
	// toldNames bounds the metrics that are remembered; beyond it all are told
	// anew.
	toldNames = 20_000
)

// told remembers which metrics' unit and help are stored, so that a session's
// first block of a metric carries them and later ones need not. The type stays in
// every block: what thins a counter must know that it is one.
type told struct {
	metrics map[string]tale
}

type tale struct {
	meta delta.Meta
	at   time.Time
}

func newTold() told { return told{metrics: map[string]tale{}} }

// strip takes unit and help from the series whose metric has told them lately and
// returns the metrics that tell them now. It changes series in place.
func (t *told) strip(series []delta.Series, now time.Time) (telling map[string]delta.Meta) {
	for i := range series {
		meta := series[i].Meta
		if meta.Unit == "" && meta.Help == "" {
			continue
		}
		metric := name(series[i].Labels)
		if old, ok := t.metrics[metric]; ok && old.meta == meta && now.Sub(old.at) < tellAgain {
			series[i].Meta = delta.Meta{Type: meta.Type}
			continue
		}
		if telling == nil {
			telling = map[string]delta.Meta{}
		}
		telling[metric] = meta
	}
	return telling
}

// stored notes that what strip left in place is stored.
func (t *told) stored(telling map[string]delta.Meta, now time.Time) {
	if len(t.metrics)+len(telling) > toldNames {
		clear(t.metrics)
	}
	for metric, meta := range telling {
		t.metrics[metric] = tale{meta, now}
	}
}
