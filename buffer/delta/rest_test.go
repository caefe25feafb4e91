package delta_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer/delta"
)

// Blocks at rest decode in any order, with a dictionary read back from its pages
// alone.
func TestRestBringsBackEveryBit(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	rapid.Check(t, func(t *rapid.T) {
		life := drawLife(t)
		dict, again := delta.NewDict(codec, 5), delta.NewDict(codec, 5)
		var payloads [][]byte
		for i, b := range life {
			payload, page, err := dict.Encode([]byte("before"), b)
			if err != nil {
				t.Fatalf("batch %d: %v", i, err)
			}
			if page != nil && rapid.IntRange(0, 3).Draw(t, "not stored") == 0 {
				dict.Truncate(page.First)
				if payload, page, err = dict.Encode([]byte("before"), b); err != nil {
					t.Fatal(err)
				}
			}
			if page != nil {
				if page.First != again.Len() {
					t.Fatalf("page begins at %d where %d is next", page.First, again.Len())
				}
				if err := again.Add(page.Data); err != nil {
					t.Fatalf("page of batch %d: %v", i, err)
				}
			}
			payloads = append(payloads, payload[len("before"):])
		}
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4, 5}).Draw(t, "order") {
			if i >= len(life) {
				continue
			}
			got, err := again.Decode(payloads[i])
			if err != nil {
				t.Fatalf("block %d: %v", i, err)
			}
			if d := cmp.Diff(life[i], got, sameBits()); d != "" {
				t.Fatalf("block %d (-want +got):\n%s", i, d)
			}
		}
	})
}

func TestDictRefusesWhatIsNotItsOwn(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	dict := delta.NewDict(codec, 5)
	payload, page, err := dict.Encode(nil, scrapes(1))
	if err != nil || page == nil || page.First != 0 || page.Series != dict.Len() {
		t.Fatalf("first block: %v, page %+v", err, page)
	}
	if _, second, err := dict.Encode(nil, scrapes(2)); err != nil || second != nil {
		t.Errorf("known series: %v, page %v", err, second)
	}
	if _, err := delta.NewDict(codec, 6).Decode(payload); !errors.Is(err, delta.ErrDictionary) {
		t.Errorf("block of another dictionary: %v", err)
	}
	if _, err := delta.NewDict(codec, 5).Decode(payload); !errors.Is(err, delta.ErrMalformed) {
		t.Errorf("block without its page: %v", err)
	}
	if err := delta.NewDict(codec, 6).Add(page.Data); !errors.Is(err, delta.ErrDictionary) {
		t.Errorf("page of another dictionary: %v", err)
	}
	if err := dict.Add(page.Data); !errors.Is(err, delta.ErrDictionary) {
		t.Errorf("page that is there: %v", err)
	}
	old, err := codec.Encode(nil, scrapes(1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := dict.Decode(old); err != nil || !cmp.Equal(got, scrapes(1), sameBits()) {
		t.Errorf("block of format 1: %v", err)
	}
	known := dict.Len()
	b := scrapes(1)
	b.Series = append(b.Series, delta.Series{Labels: []delta.Label{{Name: "__name__", Value: "new"}}}, delta.Series{})
	if _, _, err := dict.Encode(nil, b); !errors.Is(err, delta.ErrInvalid) || dict.Len() != known {
		t.Errorf("invalid series: %v, %d series where %d were", err, dict.Len(), known)
	}
}

func TestMergeKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := drawLife(t)
		merged := delta.Merge(life...)
		type key struct{ series, meta string }
		want, got := map[key][]delta.Sample{}, map[key][]delta.Sample{}
		text := func(s delta.Series) key {
			k := key{meta: s.Meta.Unit + "\xff" + s.Meta.Help + string(rune(s.Meta.Type))}
			for _, l := range s.Labels {
				k.series += l.Name + "\xff" + l.Value + "\xff"
			}
			return k
		}
		samples, records := 0, 0
		for _, b := range life {
			for _, s := range b.Series {
				want[text(s)] = append(want[text(s)], s.Samples...)
			}
			samples, records = samples+b.Samples(), records+len(b.Records)
		}
		for _, s := range merged.Series {
			if _, ok := got[text(s)]; ok {
				t.Fatalf("series %v is there twice", s.Labels)
			}
			got[text(s)] = s.Samples
		}
		if d := cmp.Diff(want, got, sameBits()); d != "" {
			t.Fatalf("samples (-want +got):\n%s", d)
		}
		if merged.Samples() != samples || len(merged.Records) != records {
			t.Fatalf("%d samples and %d records, want %d and %d", merged.Samples(), len(merged.Records), samples, records)
		}
		n := 0
		for _, b := range life {
			for _, x := range b.Exemplars {
				if text(merged.Series[merged.Exemplars[n].Series]) != text(b.Series[x.Series]) {
					t.Fatalf("exemplar %d changed its series", n)
				}
				n++
			}
		}
	})
}

// Sizes are held loosely: they are to catch a step of the modelling that stopped
// working, not to be a benchmark.
func TestModelledSizes(t *testing.T) {
	codec := newCodec(t, delta.DefaultLimits())
	enc, dict := delta.NewEncoder(codec), delta.NewDict(codec, 1)
	node := newVenue(11)
	var all []delta.Batch
	online, rest, n := 0, 0, 0
	for k := range 120 {
		b := node.scrape()
		all = append(all, b)
		frame, err := enc.Encode(nil, stamp(k+1), b)
		if err != nil {
			t.Fatal(err)
		}
		payload, page, err := dict.Encode(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if page != nil {
			rest += len(page.Data)
		}
		online, rest, n = online+len(frame), rest+len(payload), n+b.Samples()
	}
	payload, _, err := dict.Encode(nil, delta.Merge(all...))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{"online": float64(online) / float64(n), "at rest": float64(rest) / float64(n), "merged": float64(len(payload)) / float64(n)}
	t.Logf("%d series, %d samples, bytes a sample: %.3v", len(all[0].Series), n, got)
	for what, most := range map[string]float64{"online": 0.75, "at rest": 1.6, "merged": 0.75} {
		if v := got[what]; math.IsNaN(v) || v > most {
			t.Errorf("%s: %.3f bytes a sample, want at most %.2f", what, v, most)
		}
	}
}
