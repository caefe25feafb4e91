package slo_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

func drawBucket(t *rapid.T) slo.Bucket {
	total := rapid.Int64Range(0, 1<<40).Draw(t, "total")
	return slo.Bucket{
		Objective: rapid.StringMatching(`[a-z][a-z-]{0,20}`).Draw(t, "objective"),
		Hash:      rapid.Uint64().Draw(t, "hash"),
		Minute:    rapid.Int64Range(-1<<40, 1<<40).Draw(t, "minute"),
		Epoch:     rapid.Uint32().Draw(t, "epoch"),
		Revision:  rapid.Uint32Min(1).Draw(t, "revision"),
		Total:     total,
		Good:      rapid.Int64Range(0, total).Draw(t, "good"),
		Observed:  rapid.Uint8Range(0, 60).Draw(t, "observed"),
		Failing:   rapid.Bool().Draw(t, "failing"),
		State:     rapid.SampledFrom([]slo.State{slo.Measured, slo.Gap, slo.Excluded}).Draw(t, "state"),
	}
}

func TestBucketRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawBucket(t)
		enc, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := slo.DecodeBucket(enc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestBucketThatCannotBeTrueIsRefused(t *testing.T) {
	good := slo.Bucket{Objective: "o", Revision: 1, State: slo.Measured, Total: 1}
	for name, change := range map[string]func(*slo.Bucket){
		"no objective":     func(b *slo.Bucket) { b.Objective = "" },
		"more good":        func(b *slo.Bucket) { b.Good = 2 },
		"negative":         func(b *slo.Bucket) { b.Good, b.Total = -1, -1 },
		"no revision":      func(b *slo.Bucket) { b.Revision = 0 },
		"unknown state":    func(b *slo.Bucket) { b.State = 9 },
		"long observation": func(b *slo.Bucket) { b.Observed = 61 },
	} {
		b := good
		change(&b)
		if _, err := b.AppendBinary(nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecodeBucket(f *testing.F) {
	seed, _ := slo.Bucket{Objective: "checkout", Minute: 29_700_000, Revision: 3, State: slo.Measured, Good: 9, Total: 10, Observed: 60}.AppendBinary(nil)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, src []byte) {
		b, err := slo.DecodeBucket(src)
		if err == nil && b.Validate() != nil {
			t.Fatal("a bucket was decoded that cannot be true")
		}
	})
}
