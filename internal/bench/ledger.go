package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

const (
	ledgerNodes  = 10_000
	ledgerSample = 60 // of them have the whole history
	ledgerAway   = 300
)

// hourBehind are minutes in which a whole hour of every node is packed and written
// behind.
const hourBehind = 62

// ledgerSection measures the ledger and its alerts under a large fleet.
func ledgerSection(ctx context.Context, b *bench) (string, error) {
	promises, err := objectives()
	if err != nil {
		return "", err
	}
	nodes := b.share(ledgerNodes)
	order := centreOrder{Nodes: nodes, Sample: b.share(ledgerSample), Revisions: []int{1}}
	t := table{rows: [][]string{{"history", "buckets in it", "on disk", "a bucket", "a node and day", "a minute's buckets", "its alerts", "together", "a bucket", "worst minute", "peak"}}}
	for _, days := range []int{1, 7, 30, 90} {
		order.Days, order.Minutes = days, b.pick(10, 60)
		if days == 90 {
			order.Minutes = hourBehind
		}
		f, rounds, err := b.ledgerRound(ctx, order)
		if err != nil {
			return "", fmt.Errorf("%d days: %w", days, err)
		}
		l := rounds[0]
		t.row(fmt.Sprintf("%d d", days), fmt.Sprintf("%.0f M", float64(f.Buckets)/1e6), fmt.Sprintf("%.2f GB", float64(f.Bytes)/1e9), fmt.Sprintf("%.2f B", f.DiskBucket), fmt.Sprintf("%.1f kB", f.NodeHour*24/1e3),
			seconds(l.Told), seconds(l.Judged), "**"+seconds(l.minute())+"**", fmt.Sprintf("%.1f µs", float64(l.minute().Microseconds())/float64(nodes*len(promises))), seconds(l.Worst), mib(l.Peak)+" MiB")
	}
	late, err := b.lateRound(ctx, centreOrder{Nodes: nodes, Days: 1, Away: b.share(ledgerAway)})
	if err != nil {
		return "", err
	}
	start, err := b.startRound(ctx, centreOrder{Nodes: nodes, Days: 1, Wide: ruleHours})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`%d nodes, three at a venue, in twenty regions, with the %d objectives that are shipped: %d buckets a minute. They go through the ledger's door
as ingest hands them over, %d nodes in a transaction, each committed with an fsync; the windows and alerts of all venues, regions and the
fleet follow, and are judged every 10 s. A process of its own, GOMAXPROCS=1 on one core, virtual time; processor time of the process, the
system's part included, the bench's own drawing of buckets left out. Means of %d minutes; with 90 days of %d, in which a whole hour of every
node is packed and written behind.

History: %d nodes have all of the days, the others the last %d h: the whole for all would be %.1f M packed hours. The rows are
those that the ledger packed of one hour of %d nodes, taken through its door, and then written for all nodes and hours. Bytes are those of the whole file.

%s
Back after a day: %d nodes, silent for %d h, bring %.2f M late buckets while the others go on. The centre takes turns: at most %d live
blocks that wait, then at most %d late ones, an hour of a node each.

%s
After a restart, with %d h of history of every node; processor time. Then the views of the whole fleet, as pages and the JSON API
ask for them, %d venues in the last two.

%s`, nodes, len(promises), nodes*len(promises), groupBlocks, b.pick(10, 60), hourBehind, order.Sample, wideHours, float64(nodes)*90*24/1e6, min(patternNodes, nodes),
		t.String(), b.share(ledgerAway), awayHours, float64(late.Buckets)/1e6, groupBlocks, groupBlocks, late.table(),
		ruleHours, start.Venues, start.table()), nil
}

// ledgerRound writes a history, and lives on from it.
func (b *bench) ledgerRound(ctx context.Context, o centreOrder) (f filled, l []lived, err error) {
	if o.Dir, err = os.MkdirTemp(b.tmp, "ledger-"); err != nil {
		return f, l, err
	}
	defer os.RemoveAll(o.Dir)
	b.say("ledger: write a history of %d days for %d nodes", o.Days, o.Nodes)
	if err := b.child(ctx, "fill", o, &f); err != nil {
		return f, l, err
	}
	b.say("ledger: the rooms")
	return f, l, b.child(ctx, "live", o, &l)
}

func (b *bench) lateRound(ctx context.Context, o centreOrder) (l landed, err error) {
	if o.Dir, err = os.MkdirTemp(b.tmp, "late-"); err != nil {
		return l, err
	}
	defer os.RemoveAll(o.Dir)
	b.say("ledger: write a history without %d of the nodes", o.Away)
	var f filled
	if err := b.child(ctx, "fill", o, &f); err != nil {
		return l, err
	}
	b.say("ledger: the backlog lands")
	return l, b.child(ctx, "late", o, &l)
}

func (b *bench) startRound(ctx context.Context, o centreOrder) (s started, err error) {
	if o.Dir, err = os.MkdirTemp(b.tmp, "start-"); err != nil {
		return s, err
	}
	defer os.RemoveAll(o.Dir)
	b.say("ledger: write a history of %d hours for all nodes", o.Wide)
	var f filled
	if err := b.child(ctx, "fill", o, &f); err != nil {
		return s, err
	}
	b.say("ledger: a restart")
	return s, b.child(ctx, "start", o, &s)
}

func (l landed) table() string {
	t := table{rows: [][]string{{"", "while it lands", "before"}}}
	t.row("live buckets, from their arrival until windows have them: longest", "**"+seconds(l.Delay)+"**", seconds(l.Calm))
	t.row("the same, p99 of "+fmt.Sprint(l.Live)+" blocks", seconds(l.P99), "")
	t.row("longest step of the alerts", seconds(l.Step), "")
	t.row("the backlog by itself: had it all been in front, live would wait", seconds(l.Late), "")
	t.row("peak memory", mib(l.Peak)+" MiB", "")
	return t.String()
}

// child runs an order in a process of its own, on one core.
func (b *bench) child(ctx context.Context, action string, o centreOrder, into any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	order, err := json.Marshal(o)
	if err != nil {
		return err
	}
	out, err := output(ctx, "taskset", "-c", "0", "env", "GOMAXPROCS=1", self, "centre", action, string(order))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("what centre %s prints: %w", action, err)
	}
	return nil
}
