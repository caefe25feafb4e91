package delta

import "fmt"

// The sections of a payload, in this order. Each is compressed by itself, for
// their bytes have little in common.
const (
	sectionText   = iota // the ends of front-coded strings, and bodies of records
	sectionShape         // what the values belong to: labels, metadata, times
	sectionValues        // the values
	sectionCount
)

// nameLabel is the label that holds a series' metric name.
const nameLabel = "__name__"

// An encoder builds the sections of one payload.
type encoder struct {
	limits Limits
	memory meter
	text   []byte
	last   string // the string written before, for front coding
	shape  []byte
	values valueWriter
}

func newEncoder(lim Limits) *encoder {
	return &encoder{limits: lim, memory: meter{left: lim.Bytes}}
}

func (e *encoder) sections() [sectionCount][]byte {
	return [sectionCount][]byte{e.text, e.shape, e.values.section()}
}

// batch encodes b.
func (e *encoder) batch(b Batch) error {
	if err := e.check(b); err != nil {
		return err
	}
	e.uvarint(uint64(len(b.Series)))
	e.uvarint(uint64(len(b.Records)))
	if len(b.Series) > 0 {
		shapes := e.dictionary(b.Series)
		e.timestamps(b.Series)
		for _, s := range shapes {
			e.values.newShape()
			for _, i := range s.series {
				e.values.series(b.Series[i].Samples)
			}
		}
	}
	e.records(b.Records)
	return e.memory.err(e.limits.Bytes)
}

// check holds b to the limits and to the rules of [Series].
func (e *encoder) check(b Batch) error {
	l := e.limits
	if len(b.Histograms)+len(b.Exemplars) > 0 {
		return fmt.Errorf("%w: format 1 has no place for histograms and exemplars", ErrInvalid)
	}
	if len(b.Series) > l.Series {
		return fmt.Errorf("%w: %d series, at most %d", ErrLimit, len(b.Series), l.Series)
	}
	if n := b.Samples(); n > l.Samples {
		return fmt.Errorf("%w: %d samples, at most %d", ErrLimit, n, l.Samples)
	}
	if len(b.Records) > l.Samples {
		return fmt.Errorf("%w: %d records, at most %d", ErrLimit, len(b.Records), l.Samples)
	}
	for i, s := range b.Series {
		if err := checkLabels(s.Labels, l.LabelBytes); err != nil {
			return fmt.Errorf("series %d: %w", i, err)
		}
		e.memory.take(costSeries + costLabel*len(s.Labels) + costSample*len(s.Samples))
	}
	for _, r := range b.Records {
		e.memory.take(costRecord + len(r.Body))
	}
	return e.memory.err(l.Bytes)
}

// checkLabels reports labels that break the rules of [Series] or the limit.
func checkLabels(labels []Label, limit int) error {
	size, named := 0, false
	for i, l := range labels {
		size += len(l.Name) + len(l.Value)
		named = named || l.Name == nameLabel && l.Value != ""
		if l.Name == "" {
			return fmt.Errorf("%w: a label has no name", ErrInvalid)
		}
		if i > 0 && labels[i-1].Name >= l.Name {
			return fmt.Errorf("%w: label %q is not sorted or not unique", ErrInvalid, l.Name)
		}
	}
	if !named {
		return fmt.Errorf("%w: labels have no %s", ErrInvalid, nameLabel)
	}
	if size > limit {
		return fmt.Errorf("%w: %d bytes of labels, at most %d", ErrLimit, size, limit)
	}
	return nil
}

func (e *encoder) uvarint(v uint64) { e.shape = appendUvarint(e.shape, v) }
func (e *encoder) varint(v int64)   { e.shape = appendUvarint(e.shape, zigzag(v)) }

// escape precedes a byte 0 or 1 of a string, to which 2 is added: 0 ends strings.
const escape = 1

// string writes s as how much it shares with the string before it, and the rest
// with a zero behind. Lengths instead of the zero would compress worse.
func (e *encoder) string(s string) {
	shared := 0
	for shared < min(len(s), len(e.last)) && s[shared] == e.last[shared] {
		shared++
	}
	e.uvarint(uint64(shared))
	for _, b := range []byte(s[shared:]) {
		if b <= escape {
			e.text = append(e.text, escape)
			b += escape + 1
		}
		e.text = append(e.text, b)
	}
	e.text = append(e.text, 0)
	e.last = s
	e.memory.take(len(s))
}

// count writes a number of things, each of which takes some bytes of memory once
// it is decoded.
func (e *encoder) count(n, each int) {
	e.uvarint(uint64(n))
	e.memory.take(each * n)
}

func (e *encoder) strings(list []string) {
	e.count(len(list), costString)
	for _, s := range list {
		e.string(s)
	}
}

// records writes the records column by column, then their bodies into the text.
func (e *encoder) records(records []Record) {
	if len(records) == 0 {
		return
	}
	var kinds interner[string]
	ids := make([]int, len(records))
	for i, r := range records {
		ids[i] = kinds.id(r.Kind)
	}
	e.strings(kinds.list)
	for _, id := range ids {
		e.uvarint(uint64(id))
	}
	for _, r := range records {
		e.string(r.Key)
	}
	var clock int64
	for _, r := range records {
		e.varint(r.Time - clock)
		clock = r.Time
	}
	for _, r := range records {
		e.uvarint(uint64(len(r.Body)))
		e.text = append(e.text, r.Body...)
	}
}

// An interner numbers things in the order of their first use.
type interner[K comparable] struct {
	ids  map[K]int
	list []K
	last int // the number of what was asked for last, which is often asked for again
}

func (t *interner[K]) id(k K) int {
	if t.last < len(t.list) && t.list[t.last] == k {
		return t.last
	}
	id, ok := t.ids[k]
	if !ok {
		if t.ids == nil {
			t.ids = map[K]int{}
		}
		id = len(t.list)
		t.ids[k] = id
		t.list = append(t.list, k)
	}
	t.last = id
	return id
}
