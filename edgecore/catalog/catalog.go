// Package catalog is what a venue sells: items with a price in integer minor
// units. The hub is its authority; a node holds a copy through its cache. The
// package is pure and never rounds money.
package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
)

// MaxItems bounds a catalogue.
const MaxItems = 1000

// MaxPriceMinor bounds one price, in minor units.
const MaxPriceMinor = 10_000_000

var (
	skuPattern      = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
)

// An Item is one thing for sale.
type Item struct {
	SKU        string `json:"sku"`         // 1 to 63 characters of a-z, 0-9 and '-'
	Title      string `json:"title"`       // as shown to a guest
	PriceMinor int64  `json:"price_minor"` // minor units of Currency, at least 1
	Currency   string `json:"currency"`    // ISO 4217 code
}

// A Catalog is everything for sale, as of one version.
type Catalog struct {
	Version string `json:"version"`
	Items   []Item `json:"items"`
}

// ValidSKU reports whether s could name an item.
func ValidSKU(s string) bool { return skuPattern.MatchString(s) }

// ValidCurrency reports whether s has the shape of an ISO 4217 code.
func ValidCurrency(s string) bool { return currencyPattern.MatchString(s) }

// Find returns the item named sku.
func (c Catalog) Find(sku string) (Item, bool) {
	for _, it := range c.Items {
		if it.SKU == sku {
			return it, true
		}
	}
	return Item{}, false
}

// Decode reads a catalogue and refuses one that could not be sold from.
func Decode(data []byte) (Catalog, error) {
	var c Catalog
	if err := json.Unmarshal(data, &c); err != nil {
		return Catalog{}, fmt.Errorf("decode catalogue: %w", err)
	}
	if err := c.validate(); err != nil {
		return Catalog{}, fmt.Errorf("catalogue %q: %w", c.Version, err)
	}
	return c, nil
}

func (c Catalog) validate() error {
	if len(c.Items) == 0 || len(c.Items) > MaxItems {
		return fmt.Errorf("it has %d items; 1 to %d are allowed", len(c.Items), MaxItems)
	}
	seen := make(map[string]bool, len(c.Items))
	for _, it := range c.Items {
		switch {
		case !ValidSKU(it.SKU):
			return fmt.Errorf("item %q is no valid sku", it.SKU)
		case seen[it.SKU]:
			return fmt.Errorf("item %s appears twice", it.SKU)
		case it.PriceMinor < 1 || it.PriceMinor > MaxPriceMinor:
			return fmt.Errorf("item %s has a price of %d minor units; 1 to %d are allowed", it.SKU, it.PriceMinor, int64(MaxPriceMinor))
		case !ValidCurrency(it.Currency):
			return fmt.Errorf("item %s has currency %q; an ISO 4217 code is needed", it.SKU, it.Currency)
		case it.Title == "":
			return errors.New("item " + it.SKU + " has no title")
		}
		seen[it.SKU] = true
	}
	return nil
}

// Generate makes the same catalogue for the same seed, items and currency:
// tickets first, then food, drink and merchandise. Items is clamped to 1 to
// [MaxItems].
func Generate(seed uint64, items int, currency string) Catalog {
	items = min(max(items, 1), MaxItems)
	rng := rand.New(rand.NewPCG(seed, 0x67686f73)) //nolint:gosec // reproducible, not secret
	c := Catalog{Version: fmt.Sprintf("%d-%d", seed, items), Items: make([]Item, 0, items)}
	for i := range items {
		kind := kinds[i%len(kinds)]
		variant := kind.variants[rng.IntN(len(kind.variants))]
		steps := (kind.high - kind.low) / priceStep
		c.Items = append(c.Items, Item{
			SKU:        fmt.Sprintf("%s-%03d", kind.sku, i+1),
			Title:      variant + " " + kind.title,
			PriceMinor: kind.low + priceStep*rng.Int64N(steps+1),
			Currency:   currency,
		})
	}
	return c
}

// priceStep is what generated prices are multiples of, in minor units.
const priceStep = 50

// kinds are the sorts of item a generated catalogue cycles through, with their
// price ranges in minor units.
var kinds = []struct {
	sku, title string
	variants   []string
	low, high  int64
}{
	{"ticket", "ticket", []string{"Standing", "Balcony", "Day", "Evening"}, 1800, 6500},
	{"drink", "drink", []string{"Lemon", "Ginger", "Mint", "Elderflower"}, 350, 750},
	{"beer", "beer", []string{"Pale", "Dark", "Wheat", "Alcohol-free"}, 450, 800},
	{"snack", "snack", []string{"Salted", "Sweet", "Smoked", "Vegan"}, 250, 900},
	{"shirt", "T-shirt", []string{"Black", "White", "Tour", "Crew"}, 2000, 3500},
	{"poster", "poster", []string{"Signed", "Screen-printed", "Folded", "Large"}, 800, 2500},
	{"locker", "locker", []string{"Small", "Large", "Charging", "Overnight"}, 300, 1200},
}
