package catalog_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/edgecore/catalog"
)

func TestGeneratedCataloguesAreValidAndReproducible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		n := rapid.IntRange(1, 200).Draw(t, "items")
		c := catalog.Generate(seed, n, "EUR")
		if diff := cmp.Diff(c, catalog.Generate(seed, n, "EUR")); diff != "" {
			t.Fatalf("the same seed gave another catalogue: %s", diff)
		}
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := catalog.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"not JSON":   `{`,
		"empty":      `{"version":"1","items":[]}`,
		"free item":  `{"items":[{"sku":"a","title":"A","price_minor":0,"currency":"EUR"}]}`,
		"bad sku":    `{"items":[{"sku":"../a","title":"A","price_minor":1,"currency":"EUR"}]}`,
		"currency":   `{"items":[{"sku":"a","title":"A","price_minor":1,"currency":"euro"}]}`,
		"twice":      `{"items":[{"sku":"a","title":"A","price_minor":1,"currency":"EUR"},{"sku":"a","title":"A","price_minor":1,"currency":"EUR"}]}`,
		"fractional": `{"items":[{"sku":"a","title":"A","price_minor":1.5,"currency":"EUR"}]}`,
	} {
		if _, err := catalog.Decode([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":"1","items":[{"sku":"a","title":"A","price_minor":1,"currency":"EUR"}]}`))
	f.Add([]byte(`{"items":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := catalog.Decode(data)
		if err != nil {
			return
		}
		for _, it := range c.Items {
			if got, ok := c.Find(it.SKU); !ok || got != it {
				t.Fatalf("item %q is not found in its own catalogue", it.SKU)
			}
		}
	})
}
