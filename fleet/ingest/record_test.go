package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// sameBits compares floats as they are kept: NaN payloads, signs of zero and all.
var sameBits = cmp.Options{
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	cmpopts.EquateEmpty(),
}

// drawBatch is any batch that the journal may be given.
func drawBatch(t *rapid.T) delta.Batch {
	text := rapid.StringN(0, 8, 20)
	times := rapid.SliceOfN(rapid.Int64(), 0, 4)
	floats := rapid.SliceOfN(rapid.Float64(), 0, 3)
	bits := rapid.Custom(func(t *rapid.T) float64 { return math.Float64frombits(rapid.Uint64().Draw(t, "bits")) })
	shared := times.Draw(t, "times") // most series of a scrape have the same
	var b delta.Batch
	for i := range rapid.IntRange(0, 12).Draw(t, "series") {
		s := delta.Series{
			Labels: []delta.Label{{Name: "__name__", Value: fmt.Sprint("m", i)}, {Name: "x", Value: text.Draw(t, "label")}},
			Meta:   delta.Meta{Type: delta.Type(rapid.IntRange(0, 6).Draw(t, "type")), Unit: text.Draw(t, "unit"), Help: text.Draw(t, "help")},
		}
		list := shared
		if rapid.IntRange(0, 3).Draw(t, "own times") == 0 {
			list = times.Draw(t, "times")
		}
		for _, at := range list {
			s.Samples = append(s.Samples, delta.Sample{Time: at, Value: bits.Draw(t, "value")})
		}
		b.Series = append(b.Series, s)
	}
	for range rapid.IntRange(0, 3).Draw(t, "records") {
		b.Records = append(b.Records, delta.Record{
			Kind: text.Draw(t, "kind"), Key: text.Draw(t, "key"), Time: rapid.Int64().Draw(t, "time"), Body: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "body"),
		})
	}
	if len(b.Series) == 0 {
		return b
	}
	series := rapid.IntRange(0, len(b.Series)-1)
	for range rapid.IntRange(0, 3).Draw(t, "exemplars") {
		b.Exemplars = append(b.Exemplars, delta.Exemplar{
			Series: series.Draw(t, "series"), Time: rapid.Int64().Draw(t, "time"), Value: bits.Draw(t, "value"),
			Labels: []delta.Label{{Name: text.Draw(t, "name"), Value: text.Draw(t, "value")}},
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "histograms") {
		b.Histograms = append(b.Histograms, delta.NativeHistogram{
			Series: series.Draw(t, "series"), Time: rapid.Int64().Draw(t, "time"), Reset: delta.ResetGauge, Schema: int8(rapid.IntRange(-53, 8).Draw(t, "schema")),
			ZeroThreshold: bits.Draw(t, "threshold"), ZeroCount: bits.Draw(t, "zeros"), Count: bits.Draw(t, "count"), Sum: bits.Draw(t, "sum"),
			Positive: delta.Buckets{Spans: []delta.Span{{Offset: -3, Length: 2}}, Counts: floats.Draw(t, "counts")},
			Bounds:   floats.Draw(t, "bounds"),
		})
	}
	return b
}

func drawHeader(t *rapid.T) buffer.Header {
	h := buffer.Header{
		Kind: buffer.SelfContained, Lane: rapid.SampledFrom(buffer.Lanes()).Draw(t, "lane"),
		Session: buffer.Session(rapid.Uint64Min(1).Draw(t, "session")), Seq: buffer.Seq(rapid.Uint64Range(1, maxSeq).Draw(t, "seq")),
	}
	if first := buffer.Seq(rapid.Uint64Range(1, uint64(h.Seq)).Draw(t, "first")); first < h.Seq {
		h.First = first
	}
	return h
}

// names are the series of a batch without samples.
func names(b delta.Batch) []delta.Series {
	out := slices.Clone(b.Series)
	for i := range out {
		out[i].Samples = nil
	}
	return out
}

func TestRecordsHoldBlocksToTheBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, want := drawBatch(t), drawHeader(t)
		want.MinTime, want.MaxTime = b.TimeRange()
		want.Samples, want.Records = uint32(b.Samples()), uint32(len(b.Records))
		record := appendBlock(nil, soho, want, 42, &b)
		h, err := parseHead(record)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.batch(names(b))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, got, sameBits); diff != "" {
			t.Errorf("batch (-kept +read):\n%s", diff)
		}
		if delta.Digest(b) != delta.Digest(got) {
			t.Error("the digest is another one")
		}
		if diff := cmp.Diff(want, h.header); diff != "" || h.source != soho || len(b.Series) > 0 && h.names != 42 {
			t.Errorf("names %d of %s, header (-kept +read):\n%s", h.names, h.source, diff)
		}
	})
}

// Every prefix and every flipped bit of a record is an error.
func TestDamagedRecordsAreErrors(t *testing.T) {
	b := batchOf(t, buffer.Revenue, 3, 2, note("k", "body"))
	record := appendBlock(nil, soho, buffer.Header{Lane: buffer.Revenue, Session: session, Seq: 3}, 42, &b)
	for n := range record {
		if _, err := parseHead(record[:n]); !errors.Is(err, errRecord) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	for n := range 8 * len(record) {
		flipped := bytes.Clone(record)
		flipped[n/8] ^= 1 << (n % 8)
		if _, err := parseHead(flipped); !errors.Is(err, errRecord) {
			t.Fatalf("bit %d flipped: %v", n, err)
		}
	}
}

// FuzzRecord reads anything as what is between magic and checksum of a record.
func FuzzRecord(f *testing.F) {
	b := delta.Batch{
		Series:  []delta.Series{{Labels: []delta.Label{{Name: "__name__", Value: "m"}}, Samples: []delta.Sample{{Time: 5, Value: 1}, {Time: 9, Value: math.NaN()}}}},
		Records: []delta.Record{{Kind: "note", Key: "k", Time: 7, Body: []byte("body")}}, Exemplars: []delta.Exemplar{{Time: 4, Value: 2, Labels: []delta.Label{{Name: "a", Value: "b"}}}},
		Histograms: []delta.NativeHistogram{{Time: 3, Positive: delta.Buckets{Spans: []delta.Span{{Offset: 1, Length: 1}}, Counts: []float64{2}}, Bounds: []float64{1}}},
	}
	record := appendBlock(nil, soho, buffer.Header{Lane: buffer.Detail, Session: session, Seq: 9, First: 4}, 1, &b)
	f.Add(record[5:len(record)-4], uint8(1))
	f.Add(appendText(nil, soho.String()), uint8(0))
	f.Fuzz(func(t *testing.T, content []byte, series uint8) {
		record := endRecord(append(append([]byte(blockMagic), recordVersion), content...))
		h, err := parseHead(record)
		if err == nil {
			_, err = h.batch(make([]delta.Series, series))
		}
		if err != nil && !errors.Is(err, errRecord) {
			t.Error(err)
		}
	})
}

func TestNamesAreKeptOnce(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	count := func(r *rig, want int) {
		t.Helper()
		var got int
		if err := r.journal.read.QueryRow(`SELECT count(*) FROM names`).Scan(&got); err != nil || got != want {
			t.Errorf("%d lists of names are kept (%v), want %d", got, err, want)
		}
	}
	r.series.set(func() { r.series.err = errors.New("not now") })
	for seq := range buffer.Seq(5) {
		r.send(block(t, buffer.Detail, seq+1, 2))
		r.send(block(t, buffer.Health, seq+1, 2))
	}
	count(r, 2) // they differ in a label
	r.stop()

	// What another run kept is read with them, and they go with the last block.
	r = newRig(t, dir, nil)
	r.settle()
	if got := r.series.count(); got != 20 {
		t.Errorf("%d samples are stored, want 20", got)
	}
	if letters, err := r.DeadLetters(t.Context(), 9); err != nil || len(letters) > 0 {
		t.Errorf("dead letters %+v (%v)", letters, err)
	}
	if err := r.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	count(r, 0)
	if bytes, blocks := r.journal.size(); bytes != 0 || blocks != 0 {
		t.Errorf("the empty journal has %d bytes in %d blocks", bytes, blocks)
	}
	r.send(block(t, buffer.Detail, 6, 2))
	count(r, 1)
}

// Blocks whose names are gone are dead letters, not the end.
func TestBlocksWithoutTheirNamesAreDeadLetters(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	r.series.set(func() { r.series.err = errors.New("not now") })
	r.send(block(t, buffer.Detail, 1, 2))
	r.send(block(t, buffer.Detail, 2, 2))
	if _, err := r.journal.db.Exec(`DELETE FROM names`); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r = newRig(t, dir, nil)
	r.settle()
	letters, err := r.DeadLetters(t.Context(), 9)
	if err != nil || len(letters) != 2 || letters[0].Reason != "undecodable" || letters[0].Source != soho {
		t.Errorf("dead letters %+v (%v)", letters, err)
	}
	r.send(block(t, buffer.Detail, 3, 2))
	r.settle()
	if got := r.series.count(); got != 2 {
		t.Errorf("%d samples are stored, want 2", got)
	}
}
