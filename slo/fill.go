package slo

// Fill adds an hour, minute by minute, to what is held of it. It is [Track.Replace] of
// nothing by each of them, at a tenth of the cost: a start fills weeks of many tracks.
func (t *Track) Fill(hour int64, is *[60]Sum) {
	first := hour * 60
	if len(t.o.Exclusions) > 0 || t.o.Hours != "" || (t.started && (first < t.oldest() || first+60 > t.now+dayMinutes)) {
		for i := range is {
			if is[i].Told() > 0 {
				t.Replace(first+int64(i), Sum{}, is[i])
			}
		}
		return
	}
	var told Sum
	for i := range is {
		if is[i].Told() > 0 {
			told.Add(&is[i])
		}
	}
	all := told.fields()
	if t.o.Budgeting.Sliced() {
		t.fillSlices(first, is, all)
		return
	}
	if !t.started || first+60 > t.detailed() {
		at(t.minutes, first, shift).fill(int(first-floorDiv(first, shift)*shift), is, all)
	}
	at(t.hours, hour, week).add(int(hour-floorDiv(hour, week)*week), all)
	for i := range t.windows {
		w := &t.windows[i]
		from, to := max(first, w.from), min(first+60, w.to)
		if to-from == 60 {
			w.sum.add(all, 1)
			continue
		}
		for m := from; m < to; m++ {
			w.sum.add(is[m-first].fields(), 1)
		}
	}
}

// fillSlices fills an hour and, with it, what the slices that it touches count.
func (t *Track) fillSlices(first int64, is *[60]Sum, all vector) {
	n := t.o.Slice.Minutes
	from, to := floorDiv(first, n), floorDiv(first+59, n)
	count := func(sign int64) {
		for i := from; i <= to && t.started; i++ {
			slice := t.sliceAt(i)
			for k := range t.windows {
				if w := &t.windows[k]; i*n >= w.from && (i+1)*n <= w.to {
					w.sum.add(slice, sign)
				}
			}
		}
	}
	count(-1)
	for m := first; m < first+60; m++ {
		if is[m-first].Told() > 0 {
			i := floorDiv(m, n)
			at(t.sliced, i, week).add(int(i-floorDiv(i, week)*week), is[m-first].fields())
		}
	}
	if !t.started || first+60 > t.detailed() {
		at(t.minutes, first, shift).fill(int(first-floorDiv(first, shift)*shift), is, all)
	}
	count(1)
}

// fill adds the minutes of an hour, and all of them together, to the rows from row on.
func (t *table) fill(row int, is *[60]Sum, all vector) {
	at := 0
	for c, sum := range all {
		if sum != 0 { // none is negative: else all are zero
			t.fillColumn(c, at, row, is)
		}
		at += int(t.width[c]) * t.rows / 8
	}
}

func (t *table) fillColumn(column, offset, row int, is *[60]Sum) {
	var now [60]int64
	for i := range is {
		now[i] = is[i].field(column)
	}
	was, bits := t.width[column], int64(0)
	for i := range now {
		if was > 0 {
			now[i] += load(t.data[offset:], row+i, was)
		}
		bits |= now[i]
	}
	if need := widthOf(bits); need > was {
		t.widen(column, offset, need)
	}
	for i, v := range now {
		save(t.data[offset:], row+i, t.width[column], v)
	}
}
