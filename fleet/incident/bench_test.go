package incident

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/events"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/store"
)

// A crowd is nodes of which the first fell silent a minute ago.
type crowd struct {
	views []registry.View
}

func newCrowd(n, dark int, now time.Time) *crowd {
	c := &crowd{}
	for k := range n {
		v := registry.View{Source: node("uk", fmt.Sprintf("venue-%05d", k/2), fmt.Sprintf("edge-%d", k)), Presence: registry.Live, Live: true, LastSeen: now}
		if k < dark {
			v.LastDark = registry.Episode{Start: now.Add(-time.Minute + time.Duration(k%5000)*time.Millisecond)}
			v.Presence, v.Live, v.DarkSince = registry.Dark, false, v.LastDark.Start
		}
		c.views = append(c.views, v)
	}
	return c
}

func (c *crowd) Nodes() []registry.View { return c.views }

func (c *crowd) Node(src buffer.Source) (registry.View, error) {
	for _, v := range c.views {
		if v.Source == src {
			return v, nil
		}
	}
	return registry.View{}, registry.ErrUnknown
}

func (c *crowd) Down() []registry.Episode { return nil }

func (c *crowd) ExpectedWindows(_ string, from, to time.Time) []events.Window {
	return []events.Window{{From: from, To: to}}
}

// BenchmarkRound measures one round over 10,000 nodes: when nothing happens, and when
// many go dark at once, which is judged, stored and grouped.
func BenchmarkRound(b *testing.B) {
	for _, dark := range []int{0, 1000, 10_000} {
		b.Run(fmt.Sprintf("dark=%d", dark), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				st, err := store.Open(b.Context(), b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				c := newCrowd(10_000, dark, time.Now())
				book, err := New(b.Context(), Options{
					Store: st, Nodes: c, Calendar: c, Ledger: &facts{}, Sales: &facts{}, DarkAfter: darkAfter, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
				})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := book.round(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := st.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
