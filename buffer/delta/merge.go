package delta

// Merge makes one batch of many, to the bit: series that are the same in labels
// and metadata become one, in the order they are first seen, with their samples
// one after the other in the order of the batches. Nothing is sorted, nothing
// dropped. Labels and bodies are shared with the batches; samples are not.
func Merge(batches ...Batch) Batch {
	var k book
	var out Batch
	var counts []int
	where := make([][]int32, len(batches)) // of each batch's series in the merged one
	for n := range batches {
		b := &batches[n]
		guess := 0
		for i := range b.Series {
			s := &b.Series[i]
			id, ok := k.find(s, guess)
			if !ok {
				id = k.enter(s)
				out.Series = append(out.Series, Series{Labels: s.Labels, Meta: s.Meta})
				counts = append(counts, 0)
			}
			guess = int(id) + 1
			counts[id] += len(s.Samples)
			where[n] = append(where[n], id)
		}
	}
	for id, n := range counts {
		out.Series[id].Samples = make([]Sample, 0, n)
	}
	for n := range batches {
		out.take(&batches[n], where[n])
	}
	return out
}

// take appends what b holds; its series are those that where says.
func (out *Batch) take(b *Batch, where []int32) {
	for i := range b.Series {
		s := &out.Series[where[i]]
		s.Samples = append(s.Samples, b.Series[i].Samples...)
	}
	for _, h := range b.Histograms {
		h.Series = int(where[h.Series])
		out.Histograms = append(out.Histograms, h)
	}
	for _, x := range b.Exemplars {
		x.Series = int(where[x.Series])
		out.Exemplars = append(out.Exemplars, x)
	}
	out.Records = append(out.Records, b.Records...)
}
