package delta

// shapeSeries is a shape as it is read back: its series and what they share.
type shapeSeries struct {
	name   string
	meta   Meta
	labels []int // label names, as indexes
	series []int // indexes into the batch, rising
}

// dictionary reads the description of n series; their samples are yet missing.
func (d *decoder) dictionary(n int) ([]shapeSeries, []Series) {
	names := d.strings("metric names")
	labels := d.strings("label names")
	values := make([][]string, len(labels))
	for i := range values {
		values[i] = d.strings("label values")
	}
	metas := d.metas()
	tuples := d.tuples(len(labels))
	shapes := d.shapes(names, tuples, metas)
	if d.err() != nil {
		return nil, nil
	}
	for i, s := range d.runs(n, len(shapes)) {
		shapes[s].series = append(shapes[s].series, i)
		d.memory.take(costSeries + costLabel*(len(shapes[s].labels)+1))
	}
	if d.err() != nil {
		return nil, nil
	}
	return shapes, d.labels(n, shapes, labels, values)
}

func (d *decoder) metas() []Meta {
	texts := d.strings("units and helps")
	n := d.count("metadata", costMeta)
	metas := make([]Meta, 0, n)
	for range n {
		kind := d.shape.index("metric type", 256)
		unit, help := d.shape.index("unit", len(texts)), d.shape.index("help", len(texts))
		if d.err() != nil {
			return nil
		}
		metas = append(metas, Meta{Type: Type(kind), Unit: texts[unit], Help: texts[help]})
	}
	return metas
}

// tuples reads lists of label names.
func (d *decoder) tuples(labels int) [][]int {
	n := d.count("lists of label names", costList)
	tuples := make([][]int, 0, n)
	for range n {
		tuple := make([]int, d.count("label names", 8))
		for i := range tuple {
			tuple[i] = d.shape.index("label name", labels)
		}
		if d.err() != nil {
			return nil
		}
		tuples = append(tuples, tuple)
	}
	return tuples
}

func (d *decoder) shapes(names []string, tuples [][]int, metas []Meta) []shapeSeries {
	shapes := make([]shapeSeries, d.count("shapes", costShape))
	at := -1
	for i := range shapes {
		if at = d.step(at, 1, len(names), "metric name"); d.err() != nil {
			return nil
		}
		shapes[i].name = names[at]
	}
	at = 0
	for i := range shapes {
		if at = d.step(at, 0, len(tuples), "list of label names"); d.err() != nil {
			return nil
		}
		shapes[i].labels = tuples[at]
	}
	at = -1
	for i := range shapes {
		if at = d.step(at, 1, len(metas), "metadata"); d.err() != nil {
			return nil
		}
		shapes[i].meta = metas[at]
	}
	return shapes
}

// step reads an index below n that is told from the one before it, at, plus the
// usual distance.
func (d *decoder) step(at, usual, n int, what string) int {
	v := int64(at+usual) + d.shape.varint()
	if d.shape.err == nil && (v < 0 || v >= int64(n)) {
		d.shape.fail("%s %d of %d", what, v, n)
	}
	return int(v)
}

// runs reads for each of n things which of kinds it is.
func (d *decoder) runs(n, kinds int) []int {
	list := make([]int, d.count("runs", 8))
	at := -1
	for i := range list {
		if at = d.step(at, 1, kinds, "kind of run"); d.err() != nil {
			return nil
		}
		list[i] = at
	}
	out := make([]int, 0, n)
	for _, kind := range list {
		length := d.shape.uvarint()
		if length >= uint64(n-len(out)) {
			d.shape.fail("run of %d where %d are left", length, n-len(out))
			return nil
		}
		for range length + 1 {
			out = append(out, kind)
		}
	}
	if len(out) != n {
		d.shape.fail("runs cover %d of %d", len(out), n)
		return nil
	}
	return out
}

// labels reads the label values column by column and builds the series.
func (d *decoder) labels(n int, shapes []shapeSeries, names []string, values [][]string) []Series {
	out := make([]Series, n)
	last := make([]int, len(names))
	for _, s := range shapes {
		if len(s.series) == 0 {
			d.shape.fail("shape of %q has no series", s.name)
			return nil
		}
		width := len(s.labels) + 1
		all := make([]Label, width*len(s.series))
		place := d.namePlace(s, names)
		for k, i := range s.series {
			out[i].Meta = s.meta
			out[i].Labels = all[k*width : (k+1)*width : (k+1)*width]
			out[i].Labels[place] = Label{Name: nameLabel, Value: s.name}
		}
		for c, name := range s.labels {
			if c >= place {
				c++
			}
			d.column(out, s.series, c, names[name], values[name], &last[name])
		}
		if d.err() != nil {
			return nil
		}
		for _, i := range s.series {
			if err := checkLabels(out[i].Labels, d.limits.LabelBytes); err != nil {
				d.shape.fail("series %d: %w", i, err)
				return nil
			}
		}
	}
	return out
}

// namePlace is where the metric name stands among a shape's sorted labels.
func (d *decoder) namePlace(s shapeSeries, names []string) int {
	for i, l := range s.labels {
		if names[l] >= nameLabel {
			return i
		}
	}
	return len(s.labels)
}

// column reads the values of the c-th label for the series of one shape.
func (d *decoder) column(out []Series, series []int, c int, name string, values []string, last *int) {
	set := func(i, id int) {
		if id < 0 || id >= len(values) {
			d.shape.fail("value %d of label %q, which has %d", id, name, len(values))
			return
		}
		out[i].Labels[c] = Label{Name: name, Value: values[id]}
		*last = id
	}
	switch how := d.shape.uvarint(); how {
	case columnLast, columnSame:
		id := *last
		if how == columnSame {
			id = d.shape.index("label value", len(values))
		}
		for _, i := range series {
			set(i, id)
		}
	case columnValues:
		for _, i := range series {
			set(i, d.shape.index("label value", len(values)))
		}
	case columnSteps:
		at := -1
		for _, i := range series {
			at = d.step(at, 1, len(values), "label value")
			set(i, at)
		}
	default:
		d.shape.fail("label column of kind %d", how)
	}
}
