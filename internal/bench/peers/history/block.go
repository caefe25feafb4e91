package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// step is the time between two samples, in seconds.
const step = 60

// perChunk is how many samples a server puts into a chunk.
const perChunk = 120

// meta is a block's meta.json, version 1.
type meta struct {
	ULID       ulid.ULID      `json:"ulid"`
	MinTime    int64          `json:"minTime"`
	MaxTime    int64          `json:"maxTime"` // not included
	Stats      map[string]int `json:"stats"`
	Compaction struct {
		Level   int         `json:"level"`
		Sources []ulid.ULID `json:"sources"`
	} `json:"compaction"`
	Version int `json:"version"`
}

// write makes one block and returns how many samples it holds.
func (w *world) write(ctx context.Context, dir string, sp span) (samples int, err error) {
	m := meta{MinTime: sp.from * 1000, MaxTime: sp.to * 1000, Version: 1}
	if m.ULID, err = ulid.New(uint64(m.MaxTime), rand.Reader); err != nil {
		return 0, err
	}
	dir = filepath.Join(dir, m.ULID.String())
	columns, err := chunks.NewWriter(filepath.Join(dir, "chunks"))
	if err != nil {
		return 0, err
	}
	names, err := index.NewWriter(ctx, filepath.Join(dir, "index"))
	if err != nil {
		return 0, errors.Join(err, columns.Close())
	}
	list := w.series()
	samples, n, err := w.fill(list, sp, columns, names)
	if err := errors.Join(err, columns.Close(), names.Close()); err != nil {
		return 0, err
	}
	w.pass(sp)
	m.Stats = map[string]int{"numSamples": samples, "numSeries": len(list), "numChunks": n}
	m.Compaction.Level, m.Compaction.Sources = 1, []ulid.ULID{m.ULID}
	text, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	return samples, os.WriteFile(filepath.Join(dir, "meta.json"), text, 0o644)
}

// fill writes the series in their order, and says how many samples and chunks.
func (w *world) fill(list []series, sp span, columns *chunks.Writer, names *index.Writer) (samples, n int, err error) {
	for _, symbol := range symbols(list) {
		if err := names.AddSymbol(symbol); err != nil {
			return 0, 0, err
		}
	}
	for i, s := range list {
		metas, held, err := w.column(&s, sp)
		if err == nil {
			err = columns.WriteChunks(metas...)
		}
		if err == nil {
			err = names.AddSeries(storage.SeriesRef(i), s.labels, metas...)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", s.labels, err)
		}
		samples, n = samples+held, n+len(metas)
	}
	return samples, n, nil
}

// column is one series in chunks.
func (w *world) column(s *series, sp span) (out []chunks.Meta, samples int, err error) {
	var to chunkenc.Appender
	s.value(w, s, sp, func(seconds int64, v float64) {
		if samples%perChunk == 0 {
			c := chunkenc.NewXORChunk()
			if to, err = c.Appender(); err != nil {
				return
			}
			out = append(out, chunks.Meta{Chunk: c, MinTime: seconds * 1000})
		}
		to.Append(0, seconds*1000, v)
		out[len(out)-1].MaxTime = seconds * 1000
		samples++
	})
	return out, samples, err
}

// symbols are all strings of all labels, sorted.
func symbols(list []series) []string {
	held := map[string]bool{}
	for _, s := range list {
		s.labels.Range(func(l labels.Label) { held[l.Name], held[l.Value] = true, true })
	}
	return slices.Sorted(maps.Keys(held))
}
