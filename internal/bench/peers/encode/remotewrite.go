package main

import (
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// perRequest is how many samples Prometheus sends at once by default, each as a
// series of its own (max_samples_per_send).
const perRequest = 2000

// sample is what Prometheus' queue holds.
type sample struct {
	series int
	time   int64
	value  float64
}

// queued are the requests of a sender, before they are encoded.
type queued struct {
	set      *dataSet
	requests [][]sample
}

func (q *queued) prepare(set *dataSet, blocks [][]scrape) {
	q.set = set
	for _, b := range blocks {
		var r []sample
		for _, sc := range b {
			for i, id := range sc.series {
				if r = append(r, sample{id, sc.time, sc.values[i]}); len(r) == perRequest {
					q.requests, r = append(q.requests, r), nil
				}
			}
		}
		if len(r) > 0 {
			q.requests = append(q.requests, r)
		}
	}
}

type remoteWrite1 struct{ queued }

func (w *remoteWrite1) encode() (out [][]byte, err error) {
	var raw []byte
	for _, samples := range w.requests {
		r := prompb.WriteRequest{Timeseries: make([]prompb.TimeSeries, len(samples))}
		for i, s := range samples {
			r.Timeseries[i] = prompb.TimeSeries{
				Labels:  prompb.FromLabels(w.set.series[s.series].labels, nil),
				Samples: []prompb.Sample{{Timestamp: s.time, Value: s.value}},
			}
		}
		if raw, err = r.Marshal(); err != nil {
			return nil, err
		}
		out = append(out, snappy.Encode(nil, raw))
	}
	return out, nil
}

func (w *remoteWrite1) count(messages [][]byte) (n int, err error) {
	for _, m := range messages {
		raw, err := snappy.Decode(nil, m)
		if err != nil {
			return n, err
		}
		var r prompb.WriteRequest
		if err := r.Unmarshal(raw); err != nil {
			return n, err
		}
		for _, s := range r.Timeseries {
			n += len(s.Samples)
		}
	}
	return n, nil
}

type remoteWrite2 struct{ queued }

var types2 = map[string]writev2.Metadata_MetricType{
	"counter": writev2.Metadata_METRIC_TYPE_COUNTER, "gauge": writev2.Metadata_METRIC_TYPE_GAUGE,
	"histogram": writev2.Metadata_METRIC_TYPE_HISTOGRAM, "summary": writev2.Metadata_METRIC_TYPE_SUMMARY,
}

func (w *remoteWrite2) encode() (out [][]byte, err error) {
	symbols := writev2.NewSymbolTable()
	var raw []byte
	for _, samples := range w.requests {
		symbols.Reset()
		r := writev2.Request{Timeseries: make([]writev2.TimeSeries, len(samples))}
		for i, s := range samples {
			of := w.set.series[s.series]
			r.Timeseries[i] = writev2.TimeSeries{
				LabelsRefs: symbols.SymbolizeLabels(of.labels, nil),
				Samples:    []writev2.Sample{{Timestamp: s.time, Value: s.value}},
				Metadata:   writev2.Metadata{Type: types2[of.kind]},
			}
		}
		r.Symbols = symbols.Symbols()
		if raw, err = r.OptimizedMarshal(raw[:0]); err != nil {
			return nil, err
		}
		out = append(out, snappy.Encode(nil, raw))
	}
	return out, nil
}

func (w *remoteWrite2) count(messages [][]byte) (n int, err error) {
	for _, m := range messages {
		raw, err := snappy.Decode(nil, m)
		if err != nil {
			return n, err
		}
		var r writev2.Request
		if err := r.Unmarshal(raw); err != nil {
			return n, err
		}
		for _, s := range r.Timeseries {
			n += len(s.Samples)
		}
	}
	return n, nil
}
