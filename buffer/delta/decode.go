package delta

import "fmt"

// A decoder reads the sections of one payload. It trusts nothing: every count is
// held to the limits or to the bytes that are left before memory is taken.
type decoder struct {
	limits Limits
	memory meter
	text   reader
	shape  reader
	values []byte
	last   string // the string read before, for front coding
}

func newDecoder(lim Limits, sections [sectionCount][]byte) *decoder {
	return &decoder{
		limits: lim,
		memory: meter{left: lim.Bytes},
		text:   reader{src: sections[sectionText]},
		shape:  reader{src: sections[sectionShape]},
		values: sections[sectionValues],
	}
}

// err is the first thing that was wrong.
func (d *decoder) err() error {
	if d.shape.err != nil {
		return d.shape.err
	}
	if d.text.err != nil {
		return d.text.err
	}
	return d.memory.err(d.limits.Bytes)
}

// batch decodes the whole payload.
func (d *decoder) batch() (Batch, error) {
	series, records := d.shape.uvarint(), d.shape.uvarint()
	if series > uint64(d.limits.Series) {
		return Batch{}, fmt.Errorf("%w: %d series, at most %d", ErrLimit, series, d.limits.Series)
	}
	if records > uint64(d.limits.Samples) {
		return Batch{}, fmt.Errorf("%w: %d records, at most %d", ErrLimit, records, d.limits.Samples)
	}
	var b Batch
	if series > 0 {
		var err error
		if b.Series, err = d.series(int(series)); err != nil {
			return Batch{}, err
		}
	} else if len(d.values) > 0 {
		return Batch{}, fmt.Errorf("%w: values without series", ErrMalformed)
	}
	b.Records = d.records(int(records))
	if err := d.err(); err != nil {
		return Batch{}, err
	}
	if n := len(d.shape.src) + len(d.text.src); n > 0 {
		return Batch{}, fmt.Errorf("%w: %d bytes are left over", ErrMalformed, n)
	}
	return b, nil
}

// series decodes n series with their samples.
func (d *decoder) series(n int) ([]Series, error) {
	shapes, out := d.dictionary(n)
	vectors, used := d.timestamps(n)
	if err := d.err(); err != nil {
		return nil, err
	}
	total := 0
	for _, v := range used {
		if total += len(vectors[v]); total > d.limits.Samples {
			return nil, fmt.Errorf("%w: more than %d samples", ErrLimit, d.limits.Samples)
		}
	}
	d.memory.take(costSample * total)
	if err := d.err(); err != nil {
		return nil, err
	}
	samples := make([]Sample, total)
	for i, v := range used {
		times := vectors[v]
		if len(times) == 0 {
			continue
		}
		out[i].Samples, samples = samples[:len(times):len(times)], samples[len(times):]
		for j, t := range times {
			out[i].Samples[j].Time = t
		}
	}
	return out, readValues(d.values, shapes, out)
}

// string reads a front-coded string.
func (d *decoder) string() string {
	shared := d.shape.uvarint()
	if shared > uint64(len(d.last)) {
		d.shape.fail("string shares %d bytes with one of %d", shared, len(d.last))
		return ""
	}
	end := d.text.terminated()
	if d.memory.take(int(shared) + len(end)); d.err() != nil {
		return ""
	}
	d.last = d.last[:shared] + string(end)
	return d.last
}

// count reads a number of things, each of which will take some bytes of memory.
func (d *decoder) count(what string, each int) int {
	n := d.shape.count(what)
	if d.memory.take(each * n); d.err() != nil {
		return 0
	}
	return n
}

func (d *decoder) strings(what string) []string {
	n := d.count(what, costString)
	list := make([]string, 0, n)
	for range n {
		s := d.string()
		if d.err() != nil {
			return nil
		}
		list = append(list, s)
	}
	return list
}

func (d *decoder) records(n int) []Record {
	if n == 0 || d.err() != nil {
		return nil
	}
	kinds := d.strings("kinds of records")
	if n > len(d.shape.src) {
		d.shape.fail("%d records are announced where %d bytes are left", n, len(d.shape.src))
		return nil
	}
	records := make([]Record, n)
	for i := range records {
		if k := d.shape.index("kind of record", len(kinds)); k < len(kinds) {
			records[i].Kind = kinds[k]
		}
	}
	for i := range records {
		records[i].Key = d.string()
	}
	var clock int64
	for i := range records {
		clock += d.shape.varint()
		records[i].Time = clock
	}
	for i := range records {
		size := d.shape.uvarint()
		if body := d.text.bytes(size); len(body) > 0 {
			records[i].Body = append([]byte(nil), body...)
		}
		if d.memory.take(costRecord + len(records[i].Body)); d.err() != nil {
			return nil
		}
	}
	return records
}

// timestamps reads the distinct lists of timestamps and which one each of n
// series has.
func (d *decoder) timestamps(n int) (vectors [][]int64, used []int) {
	r := &d.shape
	count := d.count("lists of timestamps", costList)
	vectors = make([][]int64, 0, count)
	for range count {
		times := make([]int64, d.count("timestamps", 8))
		var step int64
		for i := range times {
			v := r.varint()
			switch i {
			case 0:
				times[0] = v
			case 1:
				step = v
				times[1] = times[0] + step
			default:
				step += v
				times[i] = times[i-1] + step
			}
		}
		if d.err() != nil {
			return nil, nil
		}
		vectors = append(vectors, times)
	}
	return vectors, d.runs(n, count)
}
