package shipped_test

import (
	"testing"

	"ghostlight/slo/shipped"
)

func TestCheckoutIsTheCallersOwn(t *testing.T) {
	first := shipped.Checkout()
	if len(first) == 0 {
		t.Fatal("the shipped file is empty")
	}
	first[0]++
	if shipped.Checkout()[0] == first[0] {
		t.Error("changing the returned bytes changes the shipped file")
	}
}
