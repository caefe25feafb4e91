package slo

// fieldCount is how many numbers a [Sum] has.
const fieldCount = 12

// vector is a [Sum] as plain numbers.
type vector [fieldCount]int64

func (v *vector) add(w vector, sign int64) {
	for i, n := range w {
		v[i] += sign * n
	}
}

func (s Sum) fields() vector {
	return vector{
		s.Total, s.Bad(), int64(s.Measured), int64(s.Gap), int64(s.Pending), int64(s.Coverage.Excluded),
		int64(s.Quiet), int64(s.Blind), int64(s.Coverage.Failing), int64(s.Open), s.Room, int64(s.Exceeded),
	}
}

// field is one of the fields.
func (s *Sum) field(i int) int64 {
	switch i {
	case 0:
		return s.Total
	case 1:
		return s.Bad()
	case 2:
		return int64(s.Measured)
	}
	return s.fields()[i]
}

func (v vector) counts() Counts { return Counts{Good: v[0] - v[1], Total: v[0]} }

func sumFrom(f vector) Sum {
	return Sum{
		Counts: f.counts(),
		Coverage: Coverage{
			Measured: int(f[2]), Gap: int(f[3]), Pending: int(f[4]), Excluded: int(f[5]),
			Quiet: int(f[6]), Blind: int(f[7]), Failing: int(f[8]), Open: int(f[9]),
		},
		Room: f[10], Exceeded: int(f[11]),
	}
}

// A table holds the sums of some minutes or hours, packed: a column takes as many
// bits a row as its largest number needs, and none while it is all zero. Most
// columns of most nodes are, which is what lets a centre keep thousands of nodes
// in memory. Rows are a multiple of eight.
type table struct {
	rows  int
	width [fieldCount]uint8 // bits a row of each column: 0, 1, 2, 4, 8, 16, 32 or 64
	data  []byte            // column after column
}

func newTable(rows int) *table { return &table{rows: rows} }

// addTo adds a row to v, or takes it away for sign -1.
func (t *table) addTo(v *vector, row int, sign int64) {
	at := 0
	for i, w := range t.width {
		if w == 0 {
			continue
		}
		v[i] += sign * load(t.data[at:], row, w)
		at += int(w) * t.rows / 8
	}
}

// add adds to a row what may be negative. No number of a row is ever negative:
// what is taken away was put there before.
func (t *table) add(row int, change vector) {
	at := 0
	for i, by := range change {
		if by != 0 {
			t.addField(i, at, row, by)
		}
		at += int(t.width[i]) * t.rows / 8
	}
}

// addField adds to one number of a column, which starts at offset.
func (t *table) addField(column, offset, row int, by int64) {
	now := by
	if w := t.width[column]; w > 0 {
		now += load(t.data[offset:], row, w)
	}
	if need := widthOf(now); need > t.width[column] {
		t.widen(column, offset, need)
	}
	if w := t.width[column]; w > 0 {
		save(t.data[offset:], row, w, now)
	}
}

// widen gives the column that starts at offset w bits a row.
func (t *table) widen(column, offset int, w uint8) {
	was := t.width[column]
	end := offset + int(was)*t.rows/8
	data := make([]byte, 0, len(t.data)+int(w-was)*t.rows/8)
	data = append(data, t.data[:offset]...)
	data = append(data, make([]byte, int(w)*t.rows/8)...)
	data = append(data, t.data[end:]...)
	if was > 0 {
		for row := range t.rows {
			save(data[offset:], row, w, load(t.data[offset:], row, was))
		}
	}
	t.width[column], t.data = w, data
}

// widthOf is how many bits of a row hold v.
func widthOf(v int64) uint8 {
	if v == 0 {
		return 0
	}
	w := uint8(1)
	for w < 64 && uint64(v)>>w > 0 {
		w *= 2
	}
	return w
}

// load reads a row of a column that is width bits wide; a narrow one shares its
// byte with its neighbours.
func load(column []byte, row int, width uint8) int64 {
	if width < 8 {
		bit := row * int(width)
		return int64(column[bit/8] >> (bit % 8) & (1<<width - 1))
	}
	n := int(width) / 8
	var v uint64
	for i, b := range column[row*n : row*n+n] {
		v |= uint64(b) << (8 * i)
	}
	return int64(v)
}

func save(column []byte, row int, width uint8, v int64) {
	if width < 8 {
		bit := row * int(width)
		mask := byte(1<<width-1) << (bit % 8)
		column[bit/8] = column[bit/8]&^mask | byte(v)<<(bit%8)&mask
		return
	}
	n := int(width) / 8
	for i := range n {
		column[row*n+i] = byte(uint64(v) >> (8 * i))
	}
}
