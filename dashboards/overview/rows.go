package overview

import (
	"fmt"

	"ghostlight/dashboards/board"
)

const payments = `kind="payment"`

func fleetNow() board.Row {
	age := "time() - " + lastSample
	return board.Row{Title: "Fleet now", Panels: []board.Panel{
		{
			Title: "Venues live", Kind: board.Stat, Unit: "short", Width: 4, Height: 4,
			Description: "Venues heard of in the last 30 seconds.",
			Thresholds:  []board.Step{{Color: good}},
			Queries:     []board.Query{{Expr: fmt.Sprintf("count(%s < %d) or vector(0)", age, darkSeconds), Legend: "live"}},
		},
		{
			Title: "Venues dark", Kind: board.Stat, Unit: "short", Width: 4, Height: 4,
			Description: "Venues heard of in the last six hours, but not in the last 30 seconds. They may go on selling; what they buffer lands when their uplink is back.",
			Thresholds:  rising(1, 2),
			Queries:     []board.Query{{Expr: fmt.Sprintf("count(%s >= %d) or vector(0)", age, darkSeconds), Legend: "dark"}},
		},
		{
			Title: "Lowest health score", Kind: board.Stat, Unit: "short", Width: 4, Height: 4, Decimals: ptr(0),
			Description: "The health score of the worst venue, 0 to 100. Below 60 a venue is degraded; it is healthy again from 75.",
			Thresholds:  score(),
			Queries:     []board.Query{{Expr: `min(ghostlight_health_score{venue=~"$venue"})`, Legend: "score"}},
		},
		{
			Title: "Checkout success now", Kind: board.Stat, Unit: "percentunit", Width: 4, Height: 4, Decimals: ptr(1),
			Description: "Payments that did not fail for a reason of ours. A card that its issuer declined is not a failure.",
			Thresholds:  falling(0.99, 0.95),
			Queries: []board.Query{{Legend: "checkout success", Expr: `sum(rate(edgecore_outcomes_total{venue=~"$venue", kind="payment", good="true"}[$__rate_interval]))` +
				` / sum(rate(edgecore_outcomes_total{venue=~"$venue", kind="payment"}[$__rate_interval]))`}},
		},
		{
			Title: "Sales now", Kind: board.Stat, Unit: "opm", Width: 4, Height: 4, Decimals: ptr(1),
			Description: "Captured payments a minute, all venues.",
			Queries:     []board.Query{{Expr: `60 * sum(rate(edgecore_payments_total{venue=~"$venue", result="captured"}[$__rate_interval]))`, Legend: "sales"}},
		},
		{
			Title: "Journeys failing", Kind: board.Stat, Unit: "short", Width: 4, Height: 4,
			Description: "Journeys whose last run failed, over all venues.",
			Thresholds:  rising(1, 3),
			Queries:     []board.Query{{Expr: `count(ghostlight_journey_success{venue=~"$venue"} == 0) or vector(0)`, Legend: "failing"}},
		},
		{
			Title: "Venues", Kind: board.Table, Key: "venue", Width: 24, Height: 9,
			Description: "One line per venue. Sort by a column to find the worst; a venue without a score has one that is unknown.",
			Queries: []board.Query{
				{Legend: "Health score", Unit: "short", Thresholds: score(), Expr: gauge("min", "ghostlight_health_score", "", "venue")},
				{Legend: "Last heard of", Unit: "s", Thresholds: rising(darkSeconds, 2*darkSeconds), Expr: age},
				{Legend: "Checkout success", Unit: "percentunit", Thresholds: falling(0.99, 0.95), Expr: share("edgecore_outcomes_total", payments, `good="true"`, "venue")},
				{Legend: "Sales a minute", Unit: "short", Expr: "60 * " + rate("edgecore_payments_total", `result="captured"`, "venue")},
				{Legend: "Journey passes", Unit: "percentunit", Thresholds: falling(0.99, 0.9), Expr: share("ghostlight_journey_runs_total", "", `result="pass"`, "venue")},
				{Legend: "Not settled yet", Unit: "short", Expr: gauge("max", "edgecore_settlement_pending", "", "venue")},
				{Legend: "Uplink", Unit: "bool_on_off", Thresholds: yesOrNo(), Expr: gauge("min", "ghostlight_uplink_up", "", "venue")},
			},
		},
		{
			Title: "Health score", Unit: "short", Width: 12, Height: 8, Min: ptr(0), Max: ptr(100),
			Description: "100 less the penalties of each signal. A gap means that the score is unknown, not that it is good.",
			Thresholds:  score(),
			Queries:     []board.Query{{Expr: gauge("min", "ghostlight_health_score", "", "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Health penalties", Unit: "short", Width: 12, Height: 8, Min: ptr(0),
			Description: "What each signal takes off the score. The highest line is what to look at first.",
			Queries:     []board.Query{{Expr: gauge("max", "ghostlight_health_penalty", "", "venue, signal") + " > 0 or on (venue) " + `0 * max by (venue) (ghostlight_uplink_up{venue=~"$venue"})`, Legend: "{{venue}} {{signal}}"}},
		},
	}}
}

func money() board.Row {
	return board.Row{Title: "Sales", Panels: []board.Panel{
		{
			Title: "Checkout success", Unit: "percentunit", Width: 8, Height: 8, Min: ptr(0), Max: ptr(1),
			Description: "Payments that did not fail for a reason of ours, per venue, as edgecore committed them.",
			Thresholds:  falling(0.99, 0.95),
			Queries:     []board.Query{{Expr: share("edgecore_outcomes_total", payments, `good="true"`, "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Sales per minute", Unit: "opm", Width: 8, Height: 8, Min: ptr(0), Stack: true,
			Description: "Captured payments a minute. Synthetic ones are not counted.",
			Queries:     []board.Query{{Expr: "60 * " + rate("edgecore_payments_total", `result="captured"`, "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Money per minute", Unit: "short", Width: 8, Height: 8, Min: ptr(0), Decimals: ptr(2),
			Description: "Captured amounts a minute in whole units of their currency; refunds are not taken off.",
			Queries:     []board.Query{{Expr: amountPerMinute("venue, currency"), Legend: "{{venue}} {{currency}}"}},
		},
		{
			Title: "Payments by result", Unit: "opm", Width: 8, Height: 8, Min: ptr(0),
			Description: "Captured, declined by the issuer, and failed on our side. Failed is the one that loses money.",
			Queries:     []board.Query{{Expr: "60 * " + rate("edgecore_payments_total", "", "venue, result"), Legend: "{{venue}} {{result}}"}},
		},
		{
			Title: "Check-ins per minute", Unit: "opm", Width: 8, Height: 8, Min: ptr(0),
			Description: "Guests admitted and tickets refused at the door.",
			Queries:     []board.Query{{Expr: "60 * " + rate("edgecore_checkins_total", "", "venue, result"), Legend: "{{venue}} {{result}}"}},
		},
		{
			Title: "Payment duration, 95th percentile", Unit: "s", Width: 8, Height: 8, Min: ptr(0),
			Description: "From the request to the committed payment, measured by edgecore.",
			Queries:     []board.Query{{Expr: quantile(0.95, "edgecore_payment_duration_seconds", "venue"), Legend: "{{venue}}"}},
		},
	}}
}

func journeys() board.Row {
	return board.Row{Title: "Journeys", Panels: []board.Panel{
		{
			Title: "Last run", Kind: board.Timeline, Unit: "short", Width: 12, Height: 8,
			Description: "Whether each journey's last run passed.",
			Mappings:    []board.Mapping{{Value: "0", Text: "failed", Color: wrong}, {Value: "1", Text: "passed", Color: good}},
			Thresholds:  yesOrNo(),
			Queries:     []board.Query{{Expr: gauge("min", "ghostlight_journey_success", "", "venue, journey"), Legend: "{{venue}} {{journey}}"}},
		},
		{
			Title: "Journey passes", Unit: "percentunit", Width: 12, Height: 8, Min: ptr(0), Max: ptr(1),
			Description: "Runs that passed, of all runs.",
			Queries:     []board.Query{{Expr: share("ghostlight_journey_runs_total", "", `result="pass"`, "venue, journey"), Legend: "{{venue}} {{journey}}"}},
		},
		{
			Title: "Journey duration, 95th percentile", Unit: "s", Width: 12, Height: 8, Min: ptr(0),
			Description: "How long a whole run takes.",
			Queries:     []board.Query{{Expr: quantile(0.95, "ghostlight_journey_duration_seconds", "venue, journey"), Legend: "{{venue}} {{journey}}"}},
		},
		{
			Title: "Slowest step", Unit: "s", Width: 12, Height: 8, Min: ptr(0),
			Description: "The duration of each step in its last run, at the slowest venue.",
			Queries:     []board.Query{{Expr: gauge("max", "ghostlight_journey_step_duration_seconds", "", "journey, step"), Legend: "{{journey}} {{step}}"}},
		},
	}}
}

func cache() board.Row {
	return board.Row{Title: "Cache", Panels: []board.Panel{
		{
			Title: "Cache requests", Unit: "reqps", Width: 8, Height: 8, Min: ptr(0), Stack: true,
			Description: "Catalogue reads by where the answer came from. Stale answers are served while the hub is away.",
			Queries:     []board.Query{{Expr: rate("edgecore_cache_requests_total", "", "venue, result"), Legend: "{{venue}} {{result}}"}},
		},
		{
			Title: "Cache hits", Unit: "percentunit", Width: 8, Height: 8, Min: ptr(0), Max: ptr(1),
			Description: "Reads answered from the cache, stale ones included.",
			Queries:     []board.Query{{Expr: share("edgecore_cache_requests_total", "", `result=~"hit|stale"`, "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Corrupt objects", Unit: "short", Width: 8, Height: 8, Min: ptr(0), Decimals: ptr(0),
			Description: "Objects on disk whose checksum is wrong. They are never served; a repair fetches them again.",
			Queries:     []board.Query{{Expr: gauge("max", "edgecore_cache_corrupt_objects", "", "venue"), Legend: "{{venue}}"}},
		},
	}}
}

func settlement() board.Row {
	return board.Row{Title: "Settlement", Panels: []board.Panel{
		{
			Title: "Settlement backlog", Unit: "short", Width: 8, Height: 8, Min: ptr(0), Decimals: ptr(0),
			Description: "Sales and refunds that the hub has not taken over yet.",
			Queries:     []board.Query{{Expr: gauge("max", "edgecore_settlement_pending", "", "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Oldest unsettled", Unit: "s", Width: 8, Height: 8, Min: ptr(0),
			Description: "The age of the oldest entry of the backlog. It grows while the hub cannot be reached.",
			Queries:     []board.Query{{Expr: gauge("max", "edgecore_settlement_oldest_seconds", "", "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Hub and ledger", Kind: board.Timeline, Unit: "short", Width: 8, Height: 8,
			Description: "Whether the hub answers, and whether the ledger can be written. Without the ledger nothing can be sold.",
			Mappings:    []board.Mapping{{Value: "0", Text: "no", Color: wrong}, {Value: "1", Text: "yes", Color: good}},
			Thresholds:  yesOrNo(),
			Queries: []board.Query{
				{Expr: gauge("min", "edgecore_hub_reachable", "", "venue"), Legend: "{{venue}} hub"},
				{Expr: gauge("min", "edgecore_ledger_writable", "", "venue"), Legend: "{{venue}} ledger"},
			},
		},
	}}
}

func heals() board.Row {
	return board.Row{Title: "Heals and participation", Panels: []board.Panel{
		{
			Title: "Heal actions", Unit: "short", Width: 12, Height: 8, Min: ptr(0), Decimals: ptr(0),
			Description: "What the nodes tried by themselves. An action succeeded only if the failing journey passed afterwards.",
			Queries:     []board.Query{{Expr: orZero(increase("ghostlight_heal_actions_total", "", "venue, action, result")), Legend: "{{venue}} {{action}} {{result}}"}},
		},
		{
			Title: "Relay connections", Unit: "short", Width: 6, Height: 8, Min: ptr(0), Decimals: ptr(0),
			Description: "Guests taking part right now.",
			Queries:     []board.Query{{Expr: gauge("max", "edgecore_relay_connections", "", "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Relay latency, 95th percentile", Unit: "s", Width: 6, Height: 8, Min: ptr(0),
			Description: "From publish to delivery.",
			Queries:     []board.Query{{Expr: quantile(0.95, "edgecore_relay_latency_seconds", "venue"), Legend: "{{venue}}"}},
		},
	}}
}

func uplink() board.Row {
	return board.Row{Title: "Uplink and buffer", Panels: []board.Panel{
		{
			Title: "Uplink", Kind: board.Timeline, Unit: "short", Width: 8, Height: 8,
			Description: "Whether the agent reaches the centre. The times while it did not arrive later, with the backlog.",
			Mappings:    []board.Mapping{{Value: "0", Text: "down", Color: wrong}, {Value: "1", Text: "up", Color: good}},
			Thresholds:  yesOrNo(),
			Queries:     []board.Query{{Expr: gauge("min", "ghostlight_uplink_up", "", "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Waiting blocks", Unit: "short", Width: 8, Height: 8, Min: ptr(0), Decimals: ptr(0),
			Description: "Blocks in the node's buffer, by lane.",
			Queries:     []board.Query{{Expr: gauge("max", "ghostlight_buffer_blocks", "", "venue, lane"), Legend: "{{venue}} {{lane}}"}},
		},
		{
			Title: "Waiting bytes", Unit: "bytes", Width: 8, Height: 8, Min: ptr(0), Stack: true,
			Description: "Disk that the node's buffer uses, by lane.",
			Queries:     []board.Query{{Expr: gauge("max", "ghostlight_buffer_bytes", "", "venue, lane"), Legend: "{{venue}} {{lane}}"}},
		},
		{
			Title: "Samples lost", Unit: "short", Width: 8, Height: 8, Min: ptr(0), Decimals: ptr(0),
			Description: "Samples given up, by lane and declared reason. The revenue lane never loses any.",
			Queries:     []board.Query{{Expr: orZero(increase("ghostlight_buffer_samples_lost_total", "", "venue, lane, reason")), Legend: "{{venue}} {{lane}} {{reason}}"}},
		},
		{
			Title: "Samples produced", Unit: "cps", Width: 8, Height: 8, Min: ptr(0),
			Description: "Samples that the node commits to its buffer each second, by lane.",
			Queries:     []board.Query{{Expr: rate("ghostlight_buffer_samples_produced_total", "", "venue, lane"), Legend: "{{venue}} {{lane}}"}},
		},
		{
			Title: "Blocks sent", Unit: "cps", Width: 8, Height: 8, Min: ptr(0),
			Description: "Blocks sent each second, by what the centre said. Rejected blocks are declared losses.",
			Queries:     []board.Query{{Expr: rate("ghostlight_forward_blocks_total", "", "venue, result"), Legend: "{{venue}} {{result}}"}},
		},
		{
			Title: "Bytes sent", Unit: "Bps", Width: 8, Height: 8, Min: ptr(0),
			Description: "What the node sends the centre each second, headers of packets not counted.",
			Queries:     []board.Query{{Expr: rate("ghostlight_forward_bytes_total", "", "venue"), Legend: "{{venue}}"}},
		},
		{
			Title: "Way to the centre", Kind: board.Timeline, Unit: "short", Width: 8, Height: 8,
			Description: "Whether data travels by a stream. A network that lets none through costs more bytes, and loses nothing.",
			Mappings:    []board.Mapping{{Value: "0", Text: "none, or single requests", Color: warn}, {Value: "1", Text: "stream", Color: good}},
			Queries:     []board.Query{{Expr: `min by (venue) (ghostlight_forward_mode{venue=~"$venue", mode="stream"})`, Legend: "{{venue}}"}},
		},
		{
			Title: "Streams begun", Unit: "short", Width: 8, Height: 8, Min: ptr(0), Decimals: ptr(0),
			Description: "How often the node connected anew.",
			Queries:     []board.Query{{Expr: orZero(increase("ghostlight_forward_streams_total", "", "venue")), Legend: "{{venue}}"}},
		},
	}}
}

func hosts() board.Row {
	memory := `sum by (venue, node) (system_memory_usage_bytes{venue=~"$venue", state="used"}) / sum by (venue, node) (system_memory_usage_bytes{venue=~"$venue"})`
	disk := `max by (venue, node) (sum by (venue, node, mountpoint) (system_filesystem_usage_bytes{venue=~"$venue", state="used"})` +
		` / sum by (venue, node, mountpoint) (system_filesystem_usage_bytes{venue=~"$venue"}))`
	return board.Row{Title: "Hosts", Panels: []board.Panel{
		{
			Title: "CPU busy", Unit: "percentunit", Width: 8, Height: 8, Min: ptr(0), Max: ptr(1),
			Description: "Share of all cores that is not idle.",
			Queries:     []board.Query{{Expr: "1 - " + share("system_cpu_time_seconds_total", "", `state="idle"`, "venue, node"), Legend: "{{venue}} {{node}}"}},
		},
		{
			Title: "Memory used", Unit: "percentunit", Width: 8, Height: 8, Min: ptr(0), Max: ptr(1),
			Description: "Share of memory that is used; caches do not count.",
			Queries:     []board.Query{{Expr: memory, Legend: "{{venue}} {{node}}"}},
		},
		{
			Title: "Fullest disk", Unit: "percentunit", Width: 8, Height: 8, Min: ptr(0), Max: ptr(1),
			Description: "The fullest file system of each node. Above 95 % the node can soon record nothing.",
			Thresholds:  rising(0.85, 0.95),
			Queries:     []board.Query{{Expr: disk, Legend: "{{venue}} {{node}}"}},
		},
		{
			Title: "Load", Unit: "short", Width: 8, Height: 8, Min: ptr(0),
			Description: "Processes running or waiting, averaged over a minute.",
			Queries:     []board.Query{{Expr: gauge("max", "system_cpu_load_average_1m", "", "venue, node"), Legend: "{{venue}} {{node}}"}},
		},
		{
			Title: "Process memory", Unit: "bytes", Width: 8, Height: 8, Min: ptr(0),
			Description: "Resident memory of the processes that are scraped.",
			Queries:     []board.Query{{Expr: gauge("max", "process_resident_memory_bytes", "", "venue, job"), Legend: "{{venue}} {{job}}"}},
		},
		{
			Title: "Scrape targets up", Kind: board.Timeline, Unit: "short", Width: 8, Height: 8,
			Description: "Whether each target answered its last scrape.",
			Mappings:    []board.Mapping{{Value: "0", Text: "down", Color: wrong}, {Value: "1", Text: "up", Color: good}},
			Thresholds:  yesOrNo(),
			Queries:     []board.Query{{Expr: gauge("min", "up", "", "venue, job"), Legend: "{{venue}} {{job}}"}},
		},
	}}
}
