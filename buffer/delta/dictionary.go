package delta

// The dictionary tells what each value belongs to. Series that differ only in
// label values share a shape; a scrape lists them one after the other, so what
// is written per series is the little that changes from one to the next.

// A shapeKey tells series apart by metric name, label names and metadata; all
// three are indexes into their tables.
type shapeKey struct{ name, tuple, meta int }

// A shape is one metric name with its label names and the series that have them.
type shape struct {
	labels []int   // label names but for the metric name's, in order
	series []int   // indexes into the batch, rising
	column [][]int // for each label the values of the series, as indexes
}

// A run is a number of series in a row that have the same shape.
type run struct{ shape, length int }

// How the values of one label of one shape are written.
const (
	columnLast   = 0 // all the same, the one this label had last
	columnSame   = 1 // all the same: one index follows
	columnValues = 2 // one index for each series follows
	columnSteps  = 3 // for each series the step from the index after the one before it
)

// tables number everything the dictionary refers to.
type tables struct {
	names  interner[string]
	metas  interner[Meta]
	labels interner[string]
	values []interner[string] // for each label name
	tuples interner[string]   // lists of label names, coded as varints
	shapes interner[shapeKey]

	before []Label // of the last series
	used   []int   // its label names
}

// dictionary writes the description of all series and returns their shapes.
func (e *encoder) dictionary(series []Series) []*shape {
	var t tables
	var shapes []*shape
	var runs []run
	for i := range series {
		s := &series[i]
		id, names := t.shape(s)
		if id == len(shapes) {
			shapes = append(shapes, &shape{labels: names, column: make([][]int, len(names))})
		}
		t.add(shapes[id], i, s.Labels)
		if last := len(runs) - 1; last >= 0 && runs[last].shape == id {
			runs[last].length++
		} else {
			runs = append(runs, run{shape: id, length: 1})
		}
	}
	e.tables(&t)
	e.runs(runs)
	last := make([]int, len(t.labels.list))
	for _, s := range shapes {
		for i, name := range s.labels {
			e.column(s.column[i], &last[name])
		}
	}
	return shapes
}

// shape returns the number of the series' shape and its label names.
func (t *tables) shape(s *Series) (id int, names []int) {
	key := shapeKey{tuple: t.tuples.last}
	for i := range s.Labels {
		if s.Labels[i].Name == nameLabel {
			key.name = t.names.id(s.Labels[i].Value)
		}
	}
	if t.before == nil || !sameNames(t.before, s.Labels) {
		t.used = t.labelNames(s.Labels)
		var tuple []byte
		for _, name := range t.used {
			tuple = appendUvarint(tuple, uint64(name))
		}
		key.tuple = t.tuples.id(string(tuple))
	}
	t.before, key.meta = s.Labels, t.metas.id(s.Meta)
	return t.shapes.id(key), t.used
}

// labelNames numbers the names of labels but for the metric name's.
func (t *tables) labelNames(labels []Label) []int {
	names := make([]int, 0, len(labels))
	for i := range labels {
		if labels[i].Name == nameLabel {
			continue
		}
		name := t.labels.id(labels[i].Name)
		if name == len(t.values) {
			t.values = append(t.values, interner[string]{})
		}
		names = append(names, name)
	}
	return names
}

func sameNames(a, b []Label) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

// add appends a series to its shape.
func (t *tables) add(s *shape, index int, labels []Label) {
	s.series = append(s.series, index)
	i := 0
	for _, l := range labels {
		if l.Name == nameLabel {
			continue
		}
		s.column[i] = append(s.column[i], t.values[s.labels[i]].id(l.Value))
		i++
	}
}

func (e *encoder) tables(t *tables) {
	e.strings(t.names.list)
	e.strings(t.labels.list)
	for _, values := range t.values {
		e.strings(values.list)
	}
	var texts interner[string] // units and helps
	for _, m := range t.metas.list {
		texts.id(m.Unit)
		texts.id(m.Help)
	}
	e.strings(texts.list)
	e.count(len(t.metas.list), costMeta)
	for _, m := range t.metas.list {
		e.uvarint(uint64(m.Type))
		e.uvarint(uint64(texts.id(m.Unit)))
		e.uvarint(uint64(texts.id(m.Help)))
	}
	e.count(len(t.tuples.list), costList)
	for _, tuple := range t.tuples.list {
		e.varints(tuple)
	}
	e.shapes(t.shapes.list)
}

// varints writes a list that is coded as varints already: how many, then them.
func (e *encoder) varints(list string) {
	n := 0
	for i := range len(list) {
		if list[i] < 0x80 {
			n++ // the last byte of a varint
		}
	}
	e.count(n, 8)
	e.shape = append(e.shape, list...)
}

// shapes writes column by column what changes from one shape to the next.
func (e *encoder) shapes(list []shapeKey) {
	e.count(len(list), costShape)
	last := shapeKey{name: -1, meta: -1}
	for _, k := range list {
		e.varint(int64(k.name - last.name - 1))
		last.name = k.name
	}
	for _, k := range list {
		e.varint(int64(k.tuple - last.tuple))
		last.tuple = k.tuple
	}
	for _, k := range list {
		e.varint(int64(k.meta - last.meta - 1))
		last.meta = k.meta
	}
}

// runs writes which shape each series has, in the order of the batch.
func (e *encoder) runs(runs []run) {
	e.count(len(runs), 8)
	last := -1
	for _, r := range runs {
		e.varint(int64(r.shape - last - 1))
		last = r.shape
	}
	for _, r := range runs {
		e.uvarint(uint64(r.length - 1))
	}
}

// column writes the values of one label of one shape. last is the index that the
// label had last.
func (e *encoder) column(ids []int, last *int) {
	same, steps := true, 0
	for i, id := range ids {
		same = same && id == ids[0]
		if i > 0 && id == ids[i-1]+1 {
			steps++
		}
	}
	switch {
	case same && ids[0] == *last:
		e.uvarint(columnLast)
	case same:
		e.uvarint(columnSame)
		e.uvarint(uint64(ids[0]))
	case steps*2 > len(ids):
		e.uvarint(columnSteps)
		prev := -1
		for _, id := range ids {
			e.varint(int64(id - prev - 1))
			prev = id
		}
	default:
		e.uvarint(columnValues)
		for _, id := range ids {
			e.uvarint(uint64(id))
		}
	}
	*last = ids[len(ids)-1]
}

// timestamps writes every distinct list of timestamps once, then which one each
// series has. In a block of scrapes all series share one list.
func (e *encoder) timestamps(series []Series) {
	var vectors interner[string]
	var used []run
	var key []byte
	for _, s := range series {
		key = key[:0]
		for i, smp := range s.Samples {
			key = appendUvarint(key, zigzag(timeStep(s.Samples, i, smp.Time)))
		}
		id := vectors.id(string(key))
		if last := len(used) - 1; last >= 0 && used[last].shape == id {
			used[last].length++
		} else {
			used = append(used, run{shape: id, length: 1})
		}
	}
	e.count(len(vectors.list), costList)
	for _, v := range vectors.list {
		e.varints(v)
	}
	e.runs(used)
}

// timeStep is what is written for the i-th timestamp: the first as it is, the
// second as its distance, every other as the change of the distance. Overflow
// wraps around and back.
func timeStep(samples []Sample, i int, t int64) int64 {
	switch i {
	case 0:
		return t
	case 1:
		return t - samples[0].Time
	default:
		return t - samples[i-1].Time - (samples[i-1].Time - samples[i-2].Time)
	}
}
