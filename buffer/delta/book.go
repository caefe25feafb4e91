package delta

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"unsafe"
)

// A book numbers the series of a stream or of a durable dictionary, in the order
// they were first seen. Numbers are never used again within one life of it.
type book struct {
	series []Series // without samples
	memory int64    // what they take, by the costs of limits.go

	seed maphash.Seed
	ids  map[uint64]int32 // by hash, the last series of it; nil until something is looked up
	same []int32          // for each series the one before it of the same hash, or -1
}

// find returns the number of a series. guess is tried first: scrapes list their
// series in the same order again and again.
func (k *book) find(s *Series, guess int) (int32, bool) {
	if guess >= 0 && guess < len(k.series) {
		known := &k.series[guess]
		if sameMemory(known, s) {
			return int32(guess), true
		}
		if sameSeries(known, s) {
			known.Labels, known.Meta = s.Labels, s.Meta // the same memory is compared quickly next time
			return int32(guess), true
		}
	}
	k.index()
	id, ok := k.ids[k.hash(s)]
	for ; ok && id >= 0; id = k.same[id] {
		if sameSeries(&k.series[id], s) {
			return id, true
		}
	}
	return 0, false
}

// index makes the table that find needs.
func (k *book) index() {
	if k.ids != nil {
		return
	}
	k.seed, k.ids, k.same = maphash.MakeSeed(), make(map[uint64]int32, cap(k.series)), k.same[:0]
	for id := range k.series {
		k.note(int32(id))
	}
}

// note enters a series in the table; those before it are there.
func (k *book) note(id int32) {
	h, last := k.hash(&k.series[id]), int32(-1)
	if other, ok := k.ids[h]; ok {
		last = other
	}
	k.ids[h] = id
	k.same = append(k.same, last)
}

func (k *book) hash(s *Series) uint64 {
	var h maphash.Hash
	h.SetSeed(k.seed)
	for i := range s.Labels {
		_, _ = h.WriteString(s.Labels[i].Name) // never fails
		_ = h.WriteByte(0)
		_, _ = h.WriteString(s.Labels[i].Value)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// sameMemory reports whether two series are the same without a look at their
// texts; false says nothing.
func sameMemory(a, b *Series) bool {
	return len(a.Labels) == len(b.Labels) && len(a.Labels) > 0 && &a.Labels[0] == &b.Labels[0] && sameMetaMemory(&a.Meta, &b.Meta)
}

func sameMetaMemory(a, b *Meta) bool {
	return a.Type == b.Type && sameText(a.Help, b.Help) && sameText(a.Unit, b.Unit)
}

// sameText reports whether two texts are one in memory.
func sameText(a, b string) bool {
	return len(a) == len(b) && (len(a) == 0 || unsafe.StringData(a) == unsafe.StringData(b))
}

// sameLabel compares what is mostly one in memory.
func sameLabel(a, b *Label) bool {
	return sameText(a.Name, b.Name) && sameText(a.Value, b.Value) || *a == *b
}

// sameMeta does as well.
func sameMeta(a, b *Meta) bool { return sameMetaMemory(a, b) || *a == *b }

func sameSeries(a, b *Series) bool {
	if len(a.Labels) != len(b.Labels) || !sameMeta(&a.Meta, &b.Meta) {
		return false
	}
	for i := range a.Labels {
		if !sameLabel(&a.Labels[i], &b.Labels[i]) {
			return false
		}
	}
	return true
}

// enter gives a series the next number.
func (k *book) enter(s *Series) int32 {
	k.index()
	id := k.adopt(Series{Labels: s.Labels, Meta: s.Meta})
	k.note(id)
	return id
}

// adopt numbers a series that nobody else holds; the table of find has it only if
// that is made later.
func (k *book) adopt(s Series) int32 {
	k.series = append(k.series, s)
	k.memory += seriesMemory(&s)
	return int32(len(k.series) - 1)
}

// truncate forgets all series from number n on.
func (k *book) truncate(n int) {
	for i := n; i < len(k.series); i++ {
		k.memory -= seriesMemory(&k.series[i])
	}
	clear(k.series[n:])
	k.series, k.ids = k.series[:n], nil
}

// seriesMemory is what a series takes in a book, in bytes.
func seriesMemory(s *Series) int64 {
	n := costSeries + costLabel*len(s.Labels) + len(s.Meta.Unit) + len(s.Meta.Help)
	for _, l := range s.Labels {
		n += len(l.Name) + len(l.Value)
	}
	return int64(n)
}

// leader is the series before id that id follows: the bucket below it, and for
// count and sum of a histogram its last bucket. It is -1 if there is none.
func (k *book) leader(id int32) int32 {
	name := metricName(k.series[id].Labels)
	if id > 0 && strings.HasSuffix(name, "_bucket") && k.sameBut(id, id-1, name) {
		return id - 1
	}
	base, ok := strings.CutSuffix(name, "_count")
	if !ok {
		if base, ok = strings.CutSuffix(name, "_sum"); !ok {
			return -1
		}
	}
	for before := id - 1; before >= max(0, id-2); before-- {
		if k.sameBut(id, before, base+"_bucket") {
			return before
		}
	}
	return -1
}

// sameBut reports whether series other is called name and has the labels of id,
// but for the name and the bound of a bucket.
func (k *book) sameBut(id, other int32, name string) bool {
	a, b := k.series[id].Labels, k.series[other].Labels
	for {
		for len(a) > 0 && (a[0].Name == nameLabel || a[0].Name == "le") {
			a = a[1:]
		}
		for len(b) > 0 && (b[0].Name == nameLabel || b[0].Name == "le") {
			b = b[1:]
		}
		if len(a) == 0 || len(b) == 0 {
			return len(a) == len(b) && metricName(k.series[other].Labels) == name
		}
		if a[0] != b[0] {
			return false
		}
		a, b = a[1:], b[1:]
	}
}

func metricName(labels []Label) string {
	i, ok := slices.BinarySearchFunc(labels, nameLabel, func(l Label, name string) int { return strings.Compare(l.Name, name) })
	if !ok {
		return ""
	}
	return labels[i].Value
}

// sections describes the series from number first on.
func (k *book) sections(lim Limits, first int) (text, shape []byte, err error) {
	e := newEncoder(lim)
	e.uvarint(uint64(len(k.series) - first))
	e.dictionary(k.series[first:])
	for i := range k.series[first:] {
		e.memory.take(costSeries + costLabel*len(k.series[first+i].Labels))
	}
	return e.text, e.shape, e.memory.err(lim.Bytes)
}

// read adopts the series that sections describes.
func (k *book) read(lim Limits, text, shape []byte) error {
	d := newDecoder(lim, [sectionCount][]byte{text, shape, nil})
	n := d.shape.uvarint()
	if n == 0 || n > uint64(lim.Series-len(k.series)) {
		return fmt.Errorf("%w: %d series after %d, at most %d", ErrLimit, n, len(k.series), lim.Series)
	}
	_, list := d.dictionary(int(n))
	if err := d.err(); err != nil {
		return err
	}
	if rest := len(d.shape.src) + len(d.text.src); rest > 0 {
		return fmt.Errorf("%w: %d bytes are left over", ErrMalformed, rest)
	}
	for i := range list {
		k.adopt(list[i])
	}
	k.ids = nil
	return nil
}
