package shipped_test

import (
	"testing"

	"ghostlight/slo/shipped"
)

func TestFilesAreTheCallersOwn(t *testing.T) {
	for name, file := range map[string]func() []byte{"checkout": shipped.Checkout, "venue": shipped.Venue} {
		first := file()
		if len(first) == 0 {
			t.Fatalf("the %s file is empty", name)
		}
		first[0]++
		if file()[0] == first[0] {
			t.Errorf("changing the returned bytes changes the %s file", name)
		}
	}
}
