package remotewrite

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors/fields"
)

// What the parts of a batch cost in memory, in bytes, about.
const (
	costSeries = 128
	costLabel  = 32
	costSample = 16
	costText   = 32 // and its bytes
)

// A decoder reads one message.
type decoder struct {
	o       Options
	res     Result
	left    int64             // of o.Memory
	texts   map[string]string // each text of the message once
	symbols []string          // of version 2.0

	// Of the series at hand.
	labels     []delta.Label
	fault      string // why it is refused; empty: it is not
	meta       delta.Meta
	samples    []delta.Sample
	histograms [][]byte
	seen       int // samples read so far, of all series
}

// take counts memory before it is taken.
func (d *decoder) take(n int) error {
	if d.left -= int64(n); d.left < 0 {
		return fmt.Errorf("%w: what it holds takes more than %d bytes of memory", ErrLimit, d.o.Memory)
	}
	return nil
}

// text copies b, once for each text of the message.
func (d *decoder) text(b []byte) (string, error) {
	if s, ok := d.texts[string(b)]; ok {
		return s, nil
	}
	if err := d.take(costText + len(b)); err != nil {
		return "", err
	}
	s := string(b)
	d.texts[s] = s
	return s, nil
}

// refuse counts n samples, histograms or metadata that can never be stored.
func (d *decoder) refuse(reason string, n int, format string, args ...any) {
	if n == 0 {
		return
	}
	d.res.Refused[reason] += n
	if d.res.Problem == "" {
		d.res.Problem = fmt.Sprintf(format, args...)
	}
}

// begin forgets the series before.
func (d *decoder) begin() {
	d.labels, d.fault, d.meta, d.samples, d.histograms = nil, "", delta.Meta{}, nil, d.histograms[:0]
}

// label adds a label of the series at hand. Faults are remembered, not returned:
// the samples must still be counted.
func (d *decoder) label(name, value string) error {
	switch {
	case value == "" || d.fault != "": // a label without a value is no label
	case name == "":
		d.fault = "a label has no name"
	case !utf8.ValidString(name) || !utf8.ValidString(value):
		d.fault = fmt.Sprintf("label %q is not UTF-8", name)
	case len(d.labels) >= maxLabels:
		d.fault = fmt.Sprintf("it has more than %d labels", maxLabels)
	default:
		if err := d.take(costLabel); err != nil {
			return err
		}
		d.labels = append(d.labels, delta.Label{Name: name, Value: value})
	}
	return nil
}

// sample reads one sample; both versions number its fields alike.
func (d *decoder) sample(msg []byte) error {
	var s delta.Sample
	r := fields.Read(msg)
	for r.Next() {
		switch {
		case r.Number == 1 && r.Type == protowire.Fixed64Type:
			s.Value = r.Double()
		case r.Number == 2 && r.Type == protowire.VarintType:
			s.Time = int64(r.Bits)
		case r.Number <= 2:
			return fields.ErrMalformed
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	if err := d.count(1); err != nil {
		return err
	}
	if s.Time < d.o.Oldest {
		d.refuse(RefusedOld, 1, "a sample at %d ms is before the retention, which begins at %d ms", s.Time, d.o.Oldest)
		return nil
	}
	d.samples = append(d.samples, s)
	return nil
}

// count counts samples before memory is taken for them.
func (d *decoder) count(n int) error {
	if d.seen += n; d.seen > d.o.Samples {
		return fmt.Errorf("%w: it holds more than %d samples", ErrLimit, d.o.Samples)
	}
	return d.take(n * costSample)
}

// end adds the series at hand to the batch, or refuses what it has.
func (d *decoder) end() error {
	if d.fault == "" {
		d.checkLabels()
	}
	if d.fault != "" {
		// Old samples of the series were refused already.
		d.refuse(RefusedLabels, len(d.samples)+len(d.histograms), "series %s: %s", describe(d.labels), d.fault)
		return nil
	}
	if len(d.samples) > 0 {
		if err := d.add(d.labels, d.samples); err != nil {
			return err
		}
		d.res.Samples += len(d.samples)
	}
	return d.native()
}

// add appends a series to the batch.
func (d *decoder) add(labels []delta.Label, samples []delta.Sample) error {
	if len(d.res.Batch.Series) >= d.o.Series {
		return fmt.Errorf("%w: it holds more than %d series", ErrLimit, d.o.Series)
	}
	if err := d.take(costSeries); err != nil {
		return err
	}
	d.res.Batch.Series = append(d.res.Batch.Series, delta.Series{Labels: labels, Meta: d.meta, Samples: samples})
	return nil
}

const nameLabel = "__name__"

// checkLabels sorts the labels and finds what a series cannot have.
func (d *decoder) checkLabels() {
	slices.SortFunc(d.labels, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
	size, named := 0, false
	for i, l := range d.labels {
		size += len(l.Name) + len(l.Value)
		named = named || l.Name == nameLabel
		if i > 0 && l.Name == d.labels[i-1].Name {
			d.fault = fmt.Sprintf("label %q is there twice", l.Name)
			return
		}
	}
	switch {
	case !named:
		d.fault = "it has no metric name"
	case size > d.o.LabelBytes:
		d.fault = fmt.Sprintf("its labels have %d bytes, at most %d are taken", size, d.o.LabelBytes)
	}
}

// describe names a series in an error, not at any length.
func describe(labels []delta.Label) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range labels {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > 200 {
			b.WriteString("...")
			break
		}
		fmt.Fprintf(&b, "%.64s=%.64q", strings.ToValidUTF8(l.Name, "?"), l.Value)
	}
	return b.String() + "}"
}

// types of metadata; both versions number them alike. Gauge histograms, 4, have no
// type of ours.
var types = map[uint64]delta.Type{
	1: delta.Counter, 2: delta.Gauge, 3: delta.Histogram, 5: delta.Summary, 6: delta.Info, 7: delta.StateSet,
}
