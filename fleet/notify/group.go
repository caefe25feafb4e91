package notify

import (
	"context"
	"time"
)

// group lets pages wait for others of their group, from when the first of them was
// taken. What was tried before has waited.
func (c *courier) group(_ context.Context, now time.Time, in []parcel) ([]parcel, error) {
	ready := map[string]time.Time{}
	for _, p := range in {
		at := p.since.Add(c.route.Wait)
		if p.attempts > 0 {
			at = now
		}
		ready[p.group()] = sooner(ready[p.group()], at)
	}
	var out []parcel
	for _, p := range in {
		if at := ready[p.group()]; now.Before(at) {
			c.again(at)
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// maxPages bounds one message.
const maxPages = 64

// batches cuts a list into messages: pages of one group each, in the order of the
// list.
func batches(list []parcel) [][]parcel {
	var out [][]parcel
	at := map[string]int{}
	for _, p := range list {
		i, ok := at[p.group()]
		if !ok || len(out[i]) == maxPages {
			i = len(out)
			at[p.group()] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], p)
	}
	return out
}
