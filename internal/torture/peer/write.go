package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"

	"github.com/klauspost/compress/snappy"
)

// Labels are names and values in turn, sorted by name.
type Labels []string

// Of puts labels in order: names and values in turn.
func Of(pairs ...string) Labels {
	var list [][2]string
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, [2]string{pairs[i], pairs[i+1]})
	}
	slices.SortFunc(list, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var out Labels
	for _, l := range list {
		out = append(out, l[0], l[1])
	}
	return out
}

// A Sample is one value of one series.
type Sample struct {
	Labels Labels
	Point
}

// Stale is the value that ends a series.
func Stale() float64 { return math.Float64frombits(0x7ff0000000000002) }

// PerRequest is how many samples a sender puts into a request, as Prometheus does
// by default (max_samples_per_send).
const PerRequest = 500

// ErrRefused means that Prometheus will never take a request.
var ErrRefused = errors.New("samples were refused")

// Write sends samples in requests of PerRequest, in their order, and returns how
// many were in requests that Prometheus refused.
func (s *Server) Write(ctx context.Context, samples []Sample) (refused int, err error) {
	for part := range slices.Chunk(samples, PerRequest) {
		err := s.post(ctx, part)
		if errors.Is(err, ErrRefused) {
			refused += len(part)
		} else if err != nil {
			return refused, err
		}
	}
	return refused, nil
}

func (s *Server) post(ctx context.Context, samples []Sample) error {
	body := snappy.Encode(nil, request(samples))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/api/v1/write", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("remote write: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("remote write: %w", err)
	case resp.StatusCode == http.StatusBadRequest:
		return fmt.Errorf("%w: %s", ErrRefused, bytes.TrimSpace(text))
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("remote write: %s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return nil
}

// request is a prometheus.WriteRequest: series (1) of labels (1: name 1, value 2)
// and samples (2: value 1, time 2).
func request(samples []Sample) []byte {
	var out, series, part []byte
	for _, s := range samples {
		series = series[:0]
		for i := 0; i < len(s.Labels); i += 2 {
			part = field(field(part[:0], 1, s.Labels[i]), 2, s.Labels[i+1])
			series = field(series, 1, string(part))
		}
		part = binary.LittleEndian.AppendUint64(append(part[:0], 1<<3|1), math.Float64bits(s.Value))
		part = binary.AppendUvarint(append(part, 2<<3), uint64(s.MS))
		series = field(series, 2, string(part))
		out = field(out, 1, string(series))
	}
	return out
}

// field appends a field of bytes.
func field(dst []byte, number byte, value string) []byte {
	dst = append(dst, number<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}
