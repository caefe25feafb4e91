package notify

import (
	"context"
	"time"
)

// hold keeps back that a page is over until the receiver has had the page for a
// while: one that is told both at once would tell nobody.
func (c *courier) hold(_ context.Context, now time.Time, in []parcel) ([]parcel, error) {
	var out []parcel
	for _, p := range in {
		if until := p.toldAt.Add(c.route.Hold); p.Phase == Resolve && p.told == Fire && now.Before(until) {
			c.again(until)
			continue
		}
		out = append(out, p)
	}
	return out, nil
}
