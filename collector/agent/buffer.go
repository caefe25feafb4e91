package agent

import (
	"context"
	"math"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/wire"
	"ghostlight/collector/self"
)

// tidyEvery is how often what waits in the buffer is merged. A block is merged
// once it is no longer fresh, so there is nothing to be had by more haste.
const tidyEvery = 30 * time.Second

// tidy keeps the buffer small until ctx ends. A disk that fails is said once.
func (n *node) tidy(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		merged, err := n.queue.Tidy(ctx)
		n.merged.Add(int64(merged))
		if err != nil && !failed && ctx.Err() == nil {
			n.log.Warn("what waits in the buffer cannot be merged; it takes more room until it can", "err", err)
		}
		failed = err != nil
	}
}

// gatherBuffer adds what the buffer knows of itself.
func (n *node) gatherBuffer(g *self.Gatherer) {
	refused, stats := n.sink.Refused(), n.queue.Stats()
	for _, lane := range buffer.Lanes() {
		st, name := stats[lane], lane.String()
		g.Counter("ghostlight_buffer_samples_produced_total", "Samples committed to the buffer.", float64(st.Produced), "lane", name)
		for reason, lost := range self.Sorted(st.Lost) {
			g.Counter("ghostlight_buffer_samples_lost_total", "Samples given up, by declared reason.", float64(lost), "lane", name, "reason", reason)
		}
		g.Counter("ghostlight_buffer_samples_refused_total", "Samples not taken because there was no room.", float64(refused[lane]), "lane", name)
		g.Counter("ghostlight_buffer_records_produced_total", "Records, which are not metrics, committed to the buffer.", float64(st.Records.Produced), "lane", name)
		for reason, lost := range self.Sorted(st.Records.Lost) {
			g.Counter("ghostlight_buffer_records_lost_total", "Records given up, by declared reason.", float64(lost), "lane", name, "reason", reason)
		}
		g.Gauge("ghostlight_buffer_blocks", "Blocks waiting in the buffer.", float64(st.Blocks), "lane", name)
		g.Gauge("ghostlight_buffer_bytes", "Their size in bytes.", float64(st.Bytes), "lane", name)
	}
	g.Counter("ghostlight_buffer_files_quarantined_total", "Damaged files of the buffer set aside since the start.", float64(n.queue.Quarantined()))
	g.Counter("ghostlight_buffer_blocks_merged_total", "Blocks that waited and became part of larger ones since the start.", float64(n.merged.Load()))
}

// gatherUplink adds what is known of the way to the fleet.
func (n *node) gatherUplink(g *self.Gatherer) {
	up := n.forward.Status()
	g.Gauge("ghostlight_uplink_up", "1 if the fleet answers, 0 if not.", number(up.Up))
	for _, mode := range []string{forward.ModeStream, forward.ModePost} {
		g.Gauge("ghostlight_forward_mode", "1 for the way that data travels by, 0 for others.", number(up.Up && up.Mode == mode), "mode", mode)
	}
	g.Counter("ghostlight_forward_streams_total", "Streams that the fleet greeted; all but the first are reconnects.", float64(up.Streams))
	g.Gauge("ghostlight_forward_rate_bytes_per_second", "What the uplink was last measured to carry; 0 until a backlog measured it.", math.Round(up.Rate))
	for kind, sent := range self.Sorted(up.Sent) {
		g.Counter("ghostlight_forward_messages_total", "Messages sent to the fleet.", float64(sent.Count), "kind", kind)
		g.Counter("ghostlight_forward_bytes_total", "Their size in bytes, without headers of packets.", float64(sent.Bytes), "kind", kind)
	}
	for _, lane := range buffer.Lanes() {
		for result, count := range self.Sorted(up.Blocks[lane]) {
			g.Counter("ghostlight_forward_blocks_total", "Blocks sent, by the fleet's answer.", float64(count), "lane", lane.String(), "result", result)
		}
	}
	if up.Bandwidth != nil {
		gatherBandwidth(g, up.Bandwidth)
	}
}

func gatherBandwidth(g *self.Gatherer, b *wire.Bandwidth) {
	if b.DayBudget == 0 {
		return
	}
	g.Gauge("ghostlight_forward_budget_used_ratio", "Share of the day's bandwidth that is used.", float64(b.DayBytes)/float64(b.DayBudget))
	for _, lane := range buffer.Lanes() {
		g.Gauge("ghostlight_forward_withheld", "1 if the lane, or its backlog, waits for the next day's bandwidth.", number(b.Withheld[lane] != ""), "lane", lane.String())
	}
}
