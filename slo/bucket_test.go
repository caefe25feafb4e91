package slo_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

// The published vector of bucket format 1. It never changes.
func TestBucketVector(t *testing.T) {
	b := slo.Bucket{
		Objective: "checkout-success", Hash: 0x0123456789abcdef, Minute: 29_900_000, Epoch: 2, Revision: 7,
		Good: 41, Total: 300, Observed: 60, Open: true, Passing: true, State: slo.Measured,
	}
	const want = "0106013cefcdab8967452301" + "c0f3c11c" + "02" + "07" + "29" + "ac02" + "636865636b6f75742d73756363657373"
	got, err := b.AppendBinary(nil)
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("AppendBinary = %x, %v\nwant %s", got, err, want)
	}
	back, err := slo.DecodeBucket(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, back); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

// drawAnyBucket covers the whole range of the format.
func drawAnyBucket(t *rapid.T) slo.Bucket {
	total := rapid.Int64Range(0, slo.MaxCount).Draw(t, "total")
	return slo.Bucket{
		Objective: rapid.StringMatching(`[a-z][a-z-]{0,20}`).Draw(t, "objective"),
		Hash:      rapid.Uint64().Draw(t, "hash"),
		Minute:    rapid.Int64Range(-1<<40, 1<<40).Draw(t, "minute"),
		Epoch:     rapid.Uint32().Draw(t, "epoch"),
		Revision:  rapid.Uint32Min(1).Draw(t, "revision"),
		Total:     total,
		Good:      rapid.Int64Range(0, total).Draw(t, "good"),
		Observed:  rapid.Uint8Range(0, 60).Draw(t, "observed"),
		Open:      rapid.Bool().Draw(t, "open"),
		Failing:   rapid.Bool().Draw(t, "failing"),
		Passing:   rapid.Bool().Draw(t, "passing"),
		State:     rapid.SampledFrom([]slo.State{slo.Measured, slo.Gap, slo.Excluded}).Draw(t, "state"),
	}
}

func TestBucketRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawAnyBucket(t)
		raw, err := b.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		back, err := slo.DecodeBucket(bytes.TrimPrefix(raw, []byte("before")))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, back); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestBucketValidate(t *testing.T) {
	for name, change := range map[string]func(*slo.Bucket){
		"no objective":       func(b *slo.Bucket) { b.Objective = "" },
		"long objective":     func(b *slo.Bucket) { b.Objective = strings.Repeat("x", 64) },
		"unknown state":      func(b *slo.Bucket) { b.State = 4 },
		"state zero":         func(b *slo.Bucket) { b.State = 0 },
		"negative good":      func(b *slo.Bucket) { b.Good = -1 },
		"more good than all": func(b *slo.Bucket) { b.Good = b.Total + 1 },
		"too many":           func(b *slo.Bucket) { b.Total = slo.MaxCount + 1 },
		"too long a minute":  func(b *slo.Bucket) { b.Observed = 61 },
		"revision zero":      func(b *slo.Bucket) { b.Revision = 0 },
	} {
		b := bucket(0, 1, 2, change)
		if b.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
		if out, err := b.AppendBinary([]byte{9}); err == nil || !bytes.Equal(out, []byte{9}) {
			t.Errorf("%s: AppendBinary = %x, %v", name, out, err)
		}
	}
}

// Supersedes is a strict order, so that all who hold the same buckets agree.
func TestSupersedesDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawBucket(t), drawBucket(t)
		b.Minute = a.Minute
		switch ab, ba := a.Supersedes(b), b.Supersedes(a); {
		case a == b && (ab || ba):
			t.Fatal("a bucket supersedes itself")
		case a != b && ab == ba:
			t.Fatalf("%+v and %+v: neither or both win", a, b)
		case a.Revision > b.Revision && !ab:
			t.Fatal("the higher revision loses")
		}
	})
}

func FuzzDecodeBucket(f *testing.F) {
	for _, b := range []slo.Bucket{bucket(29_900_000, 3, 4), bucket(-5, 0, 0, state(slo.Gap)), bucket(0, 0, 0, open, failing)} {
		raw, err := b.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
	}
	f.Add([]byte{1, 8, 1, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 'x'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := slo.DecodeBucket(raw)
		if err != nil {
			return
		}
		again, err := b.AppendBinary(nil)
		if err != nil {
			t.Fatalf("decoded but cannot be encoded: %v", err)
		}
		back, err := slo.DecodeBucket(again)
		if err != nil || back != b {
			t.Fatalf("%+v became %+v, %v", b, back, err)
		}
	})
}
