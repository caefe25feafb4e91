package lanes

import (
	"fmt"
	"testing"

	"ghostlight/buffer"
)

func TestLane(t *testing.T) {
	c, err := New([]string{"shop_orders_*"}, []string{"shop_queue_depth"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]buffer.Lane{
		"edgecore_payments_total":            buffer.Revenue,
		"edgecore_payments_total_x":          buffer.Detail,
		"shop_orders_total":                  buffer.Revenue,
		"shop_queue_depth":                   buffer.Health,
		"up":                                 buffer.Health,
		"ghostlight_journey_duration_bucket": buffer.Health,
		"ghostlight_agent_info":              buffer.Detail,
		"":                                   buffer.Detail,
	} {
		for range 2 { // the second answer comes from memory
			if got := c.Lane(name); got != want {
				t.Errorf("lane of %q is %s, want %s", name, got, want)
			}
		}
	}
}

func TestLaneMemoryIsBounded(t *testing.T) {
	c, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range remembered + 100 {
		c.Lane(fmt.Sprintf("metric_%d", i))
	}
	if len(c.known) != remembered {
		t.Errorf("remembers %d names, want %d", len(c.known), remembered)
	}
	if got := c.Lane("edgecore_refunds_total"); got != buffer.Revenue {
		t.Errorf("a name past the bound got lane %s", got)
	}
}

func TestCheck(t *testing.T) {
	for glob, ok := range map[string]bool{"a_*": true, "a[bc]": true, "a[": false, "": false} {
		if err := Check(glob); (err == nil) != ok {
			t.Errorf("Check(%q) = %v", glob, err)
		}
	}
	if _, err := New([]string{"x["}, nil); err == nil {
		t.Error("New took a malformed glob")
	}
}
