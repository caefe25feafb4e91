package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ghostlight/internal/torture"
)

// contestFeeds is how many nights both sides are told.
const contestFeeds = 20

// contestSection tells the same bad nights to Ghostlight and to Prometheus. Where
// Ghostlight is wrong there is nothing to print.
func contestSection(ctx context.Context, b *bench) (string, error) {
	feeds := contestFeeds
	if b.small {
		feeds = 2
	}
	c := torture.NewContest()
	for seed := 1; seed <= feeds; seed++ {
		b.say("contest: feed %d of %d", seed, feeds)
		dir := filepath.Join(b.tmp, fmt.Sprintf("contest-%d", seed))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
		if err := c.Compare(ctx, uint64(seed), nil, dir); err != nil {
			return "", err
		}
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	if err := c.Check(); err != nil {
		return "", err
	}
	return fmt.Sprintf(`Each feed of internal/torture is a night of several venues with outages, partial failures, clocks that are skewed or jump, deaths of agent,
edgecore and centre, repeats and reordering. Debian's Prometheus is given the same counters, as an agent in remote write mode would
deliver them, and recording and alerting rules as Sloth writes them; what comes up to three minutes late counts as on time. Judged as
the venues close, with what has arrived by then, and when all has been delivered. At closing time Ghostlight's SLI is its count so far,
between bounds; where they leave the verdict open it says so. Its pages are the node's own. With offline venues alone (FAULTS=offline
in the room's tests) one query is nearly exact once all is delivered, for cumulative counters survive gaps.

%s`, c.Table()), nil
}
