package ledger

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

func testCodec(t testing.TB) codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drawChunk fills an hour of a few objectives.
func drawChunk(t *rapid.T) *chunk {
	k := &chunk{hour: 483334}
	for id := range rapid.Int64Range(1, 4).Draw(t, "objectives") {
		o := newObjective(id+1, "x")
		if id > 1 {
			o.def = &slo.Objective{Hash: 7, Capacity: 1 << 39}
		}
		for range rapid.IntRange(1, 60).Draw(t, "count") {
			b := drawBucket(t, slo.Objective{Name: "x", Hash: 7}, k.hour*60)
			b.Minute = k.hour*60 + b.Minute%60
			k.take(o, version{b, b.Minute*60_000 + rapid.Int64Range(-200_000, 1<<42).Draw(t, "delay")}, 1)
		}
	}
	return k
}

func held(k *chunk) map[int64][]version {
	out := map[int64][]version{}
	for i := range k.lines {
		k.lines[i].each(k.hour, func(v version) { out[k.lines[i].objective.id] = append(out[k.lines[i].objective.id], v) })
	}
	return sorted(out)
}

func sorted(m map[int64][]version) map[int64][]version {
	for _, list := range m {
		slices.SortFunc(list, func(a, b version) int { return int(a.Minute - b.Minute) })
	}
	return m
}

func TestRowsHoldEverything(t *testing.T) {
	c := testCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		k := drawChunk(t)
		row := c.pack(k)
		got := map[int64][]version{}
		err := c.unpack(k.hour, row, func(int64) bool { return true }, func(id int64, v *version) { got[id] = append(got[id], *v) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(held(k), sorted(got), cmp.AllowUnexported(version{})); diff != "" {
			t.Fatalf("row (-packed +unpacked):\n%s", diff)
		}
		totals := map[int64]slo.Sum{}
		if err := eachTotal(row, func(t *total) { totals[t.objective] = t.sum }); err != nil {
			t.Fatal(err)
		}
		want := map[int64]slo.Sum{}
		for i := range k.lines {
			o := k.lines[i].objective
			if o.def != nil {
				var s slo.Sum
				for _, v := range got[o.id] {
					s = s.Plus(o.sum(&v.Bucket))
				}
				want[o.id] = s
			}
		}
		if diff := cmp.Diff(want, totals); diff != "" {
			t.Fatalf("totals (-minutes +totals):\n%s", diff)
		}
		minutes, err := sumsOf(c, k, row)
		for i := range k.lines {
			o := k.lines[i].objective
			want := [60]slo.Sum{}
			for _, v := range got[o.id] {
				if o.def != nil {
					want[v.Minute%60] = o.sum(&v.Bucket)
				}
			}
			if diff := cmp.Diff(want, minutes[o.id]); diff != "" || err != nil {
				t.Fatalf("sums of objective %d, %v (-buckets +summed up):\n%s", o.id, err, diff)
			}
		}
		for n := range row {
			if _, err := sumsOf(c, k, row[:n]); err == nil {
				t.Fatalf("%d of %d bytes were summed up without complaint", n, len(row))
			}
			if c.unpack(k.hour, row[:n], func(int64) bool { return true }, func(int64, *version) {}) == nil {
				t.Fatalf("%d of %d bytes were read without complaint", n, len(row))
			}
		}
		if len(k.pasts) > 0 {
			list, err := unpackPasts(k.hour, 1, k.pasts[0].untilMS, packPasts(k.pasts[:1]))
			if diff := cmp.Diff(k.pasts[:1], list, cmp.AllowUnexported(past{}, version{})); diff != "" || err != nil {
				t.Fatalf("pasts (-packed +unpacked), %v:\n%s", err, diff)
			}
		}
	})
}

// sumsOf sums up a row by the definitions of the chunk it is of.
func sumsOf(c codec, k *chunk, row []byte) (map[int64][60]slo.Sum, error) {
	out := map[int64]*[60]slo.Sum{}
	_, err := c.sums(nil, row, func(id int64) (*slo.Objective, *[60]slo.Sum) {
		for i := range k.lines {
			if o := k.lines[i].objective; o.id == id && o.def != nil {
				out[id] = new([60]slo.Sum)
				return o.def, out[id]
			}
		}
		return nil, nil
	})
	read := map[int64][60]slo.Sum{}
	for id, sums := range out {
		read[id] = *sums
	}
	return read, err
}

func FuzzRows(f *testing.F) {
	c := testCodec(f)
	k := &chunk{hour: 1}
	k.take(newObjective(1, "x"), version{slo.Bucket{Minute: 61, Revision: 1, Good: 1, Total: 2, State: slo.Measured}, 62 * 60_000}, 1)
	f.Add(c.pack(k), packPasts([]past{{version{slo.Bucket{Minute: 61, Revision: 1, State: slo.Gap}, 1}, 1, 1, 1, Late}}), oldRow([]slo.Bucket{{Minute: 61, Revision: 1, State: slo.Gap}}))
	f.Add([]byte{rowVersion}, []byte{pastsVersion}, []byte{oldVersion})
	f.Fuzz(func(t *testing.T, row, pasts, old []byte) {
		within := func(b slo.Bucket) {
			b.Objective = "x"
			if b.Minute < 60 || b.Minute > 119 || b.Validate() != nil {
				t.Errorf("read %+v", b)
			}
		}
		_ = c.unpack(1, row, func(int64) bool { return true }, func(_ int64, v *version) { within(v.Bucket) }) // any error will do
		var sums [60]slo.Sum
		_, _ = c.sums(nil, row, func(int64) (*slo.Objective, *[60]slo.Sum) { return &slo.Objective{Capacity: 9}, &sums })
		for _, s := range sums {
			if s.Good < 0 || s.Good > s.Total || s.Told() < 0 {
				t.Errorf("summed up %+v", s)
			}
		}
		_ = eachTotal(row, func(of *total) {
			if of.sum.Good < 0 || of.sum.Good > of.sum.Total || of.sum.Told() > 60 {
				t.Errorf("read %+v", of)
			}
		})
		if list, err := unpackPasts(1, 1, 1, pasts); err == nil {
			for _, p := range list {
				within(p.Bucket)
			}
		}
		if list, err := unpackOld(1, old); err == nil {
			for _, b := range list {
				within(b)
			}
		}
	})
}

// oldRow is an hour of one objective as version 1 of the table held it.
func oldRow(buckets []slo.Bucket) []byte {
	var held uint64
	var hashes []uint64
	for _, b := range buckets {
		held |= 1 << (b.Minute % 60)
		if !slices.Contains(hashes, b.Hash) {
			hashes = append(hashes, b.Hash)
		}
	}
	out := binary.LittleEndian.AppendUint64([]byte{oldVersion}, held)
	out = binary.AppendUvarint(out, uint64(len(hashes)))
	for _, h := range hashes {
		out = binary.LittleEndian.AppendUint64(out, h)
	}
	for _, b := range buckets {
		out = append(out, flagsOf(&b), b.Observed)
		for _, v := range []uint64{uint64(slices.Index(hashes, b.Hash)), uint64(b.Epoch), uint64(b.Revision), uint64(b.Total - b.Good), uint64(b.Total)} {
			out = binary.AppendUvarint(out, v)
		}
	}
	return out
}
