package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// Bandwidth bounds what a node sends, headers of packets estimated. Zero is no
// bound.
//
// As the day's bytes are used up, less is sent: from 70 % no logs and traces, from
// 85 % no backlog of detail, from 95 % no detail, and from 100 % only revenue and
// signs of life. What is not sent waits in the buffer for the next day, which
// begins at midnight UTC of the node's clock.
type Bandwidth struct {
	PerSecond int64 // bytes, averaged over a second, or over one block if that is longer
	PerDay    int64 // bytes
}

// Shares of the day's bytes from which something is withheld.
const (
	withholdLogs    = 0.70 // and traces
	withholdBacklog = 0.85 // of detail
	withholdDetail  = 0.95
	withholdAll     = 1.00 // but revenue
)

const (
	// budgetKey is where the day's use is kept in the node's buffer.
	budgetKey = "forward.bandwidth"
	// keepParts: the day's use is kept ahead by one of so many parts of the
	// budget, so that a death never forgets bytes and few commits are needed.
	keepParts = 200
	// burst may be sent at once under a rate: a merged block.
	burst = 16 << 10
	// packetPayload and packetHead are what a packet carries and what comes on top:
	// IP, TCP with timestamps, a frame of HTTP/2.
	packetPayload, packetHead = 1400, 20 + 32 + 9
)

// onUplink is what n bytes that are written together cost.
func onUplink(n int) int64 {
	return int64(n) + int64((n+packetPayload-1)/packetPayload)*packetHead
}

// A budget says what may be sent.
type budget struct {
	limits Bandwidth

	mu     sync.Mutex // guards what follows
	tokens float64    // bytes that may be sent now; below 0 after more was
	filled time.Time
	day    string // of used
	used   int64
	kept   int64 // what is on disk for the day
}

func newBudget(limits Bandwidth) *budget {
	b := &budget{limits: limits}
	b.tokens = b.capacity()
	return b
}

func (b *budget) bounded() bool { return b.limits != (Bandwidth{}) }

// capacity is the most tokens: a second's, or a block's.
func (b *budget) capacity() float64 { return float64(max(b.limits.PerSecond, burst)) }

// advance brings tokens and day up to now. The caller holds mu.
func (b *budget) advance(now time.Time) {
	if !b.filled.IsZero() {
		passed := max(now.Sub(b.filled), 0).Seconds()
		b.tokens = min(b.tokens+passed*float64(b.limits.PerSecond), b.capacity())
	}
	b.filled = now
	// A clock that was wrong and was set right begins another day, too: rather a
	// day's bytes too many than silence until a day that is far ahead.
	if day := now.UTC().Format(time.DateOnly); day != b.day {
		b.day, b.used, b.kept = day, 0, 0
	}
}

// spend notes what is sent, whether or not it was allowed; what came to nothing is
// given back as less than nothing.
func (b *budget) spend(bytes int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	b.used = max(b.used+bytes, 0)
	if b.limits.PerSecond > 0 {
		b.tokens -= float64(bytes)
	}
}

// allows reports whether a class of blocks may be sent now; block is what a block
// of backlog takes. Backlog goes only out of what was saved for it, so that it
// leaves no debt that fresh data would have to wait for.
func (b *budget) allows(lane buffer.Lane, fresh bool, block float64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	if b.limits.PerSecond > 0 {
		if fresh && b.tokens <= 0 || !fresh && b.tokens < b.saving(block) {
			return false
		}
	}
	switch b.withheld(lane) {
	case wire.WithheldAll:
		return false
	case wire.WithheldBacklog:
		return fresh
	}
	return true
}

// saving is how many tokens backlog waits for.
func (b *budget) saving(block float64) float64 { return min(max(block, 1), b.capacity()) }

// withheld is what of a lane the day's budget holds back: nothing, its backlog or
// all of it. The caller holds mu.
func (b *budget) withheld(lane buffer.Lane) string {
	if b.limits.PerDay == 0 || lane == buffer.Revenue {
		return ""
	}
	switch share := float64(b.used) / float64(b.limits.PerDay); {
	case share >= withholdAll,
		lane == buffer.Detail && share >= withholdDetail,
		lane > buffer.Detail && share >= withholdLogs:
		return wire.WithheldAll
	case lane == buffer.Detail && share >= withholdBacklog:
		return wire.WithheldBacklog
	}
	return ""
}

// wait is when backlog may be sent again under the rate, or any block if that is
// sooner; zero if it may now.
func (b *budget) wait(block float64, now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	if b.limits.PerSecond == 0 {
		return time.Time{}
	}
	need := b.saving(block)
	if b.tokens <= 0 {
		need = 1
	}
	if b.tokens >= need {
		return time.Time{}
	}
	return now.Add(time.Duration((need-b.tokens)/float64(b.limits.PerSecond)*float64(time.Second)) + time.Millisecond)
}

// report is what a heartbeat says of it, nil without budgets.
func (b *budget) report(now time.Time) *wire.Bandwidth {
	if !b.bounded() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	r := &wire.Bandwidth{DayBytes: b.used, DayBudget: b.limits.PerDay}
	for _, lane := range buffer.Lanes() {
		if what := b.withheld(lane); what != "" {
			if r.Withheld == nil {
				r.Withheld = map[buffer.Lane]string{}
			}
			r.Withheld[lane] = what
		}
	}
	return r
}

// dayUse is the use of one day as it is kept.
type dayUse struct {
	Day   string `json:"day"`
	Bytes int64  `json:"bytes"`
}

// load reads what an earlier run used today.
func (b *budget) load(ctx context.Context, m Memory, now time.Time) error {
	if b.limits.PerDay == 0 {
		return nil
	}
	found, err := m.State(ctx, budgetKey)
	if err != nil {
		return fmt.Errorf("read the day's bandwidth: %w", err)
	}
	var u dayUse
	if text := found[budgetKey]; text != nil {
		if err := json.Unmarshal(text, &u); err != nil {
			u = dayUse{} // damaged: the day begins anew
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	if u.Day == b.day {
		b.used, b.kept = b.used+u.Bytes, u.Bytes
	}
	return nil
}

// keep makes what was used outlive a restart: ahead of the use while running,
// exactly at the end.
func (b *budget) keep(ctx context.Context, m Memory, now time.Time, end bool) error {
	if b.limits.PerDay == 0 {
		return nil
	}
	b.mu.Lock()
	b.advance(now)
	u := dayUse{Day: b.day, Bytes: b.used}
	if !end {
		u.Bytes += b.limits.PerDay / keepParts
	}
	due := end && b.kept != b.used || b.used > b.kept
	b.mu.Unlock()
	if !due {
		return nil
	}
	text, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("encode the day's bandwidth: %w", err)
	}
	if err := m.Append(ctx, queue.Commit{State: map[string][]byte{budgetKey: text}}); err != nil {
		return fmt.Errorf("keep the day's bandwidth: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.day == u.Day {
		b.kept = u.Bytes
	}
	return nil
}

// keepBudget keeps the day's use; on a failing disk it is tried again with the
// next byte.
func (f *Forwarder) keepBudget(ctx context.Context, now time.Time, end bool) {
	if err := f.budget.keep(ctx, f.o.Memory, now, end); err != nil {
		f.disk(err)
	}
}
