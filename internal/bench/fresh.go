package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
)

// offline is how long the node was away, and every how it scraped meanwhile.
const (
	offline      = 24 * time.Hour
	offlineEvery = 15 * time.Second
)

// returned is what one return from an outage showed.
type returned struct {
	connected time.Duration   // from the link to the connection
	first     time.Duration   // from the link until a fresh reading could be queried
	late      []time.Duration // each fresh reading, from its scrape until it could be queried
	calm      []time.Duration // the same of later readings, when nothing waited any more
	waiting   int64           // samples, when the link came back
	drained   time.Duration   // from the connection until all of them were at the centre
}

// freshSection lets a node come back after a day offline.
func freshSection(ctx context.Context, b *bench) (string, error) {
	backlog := filepath.Join(b.tmp, "backlog")
	b.say("fresh: fill a backlog of %s", offline)
	waiting, err := b.fillBacklog(ctx, backlog)
	if err != nil {
		return "", err
	}
	size, err := folderBytes(backlog)
	if err != nil {
		return "", err
	}
	t := table{rows: [][]string{{"uplink", "connected", "first fresh", "fresh p50", "fresh p99", "calm p50", "calm p99", "backlog drained", "samples/s"}}}
	for _, rate := range []string{"", "256kbit"} {
		r, err := b.comeBack(ctx, backlog, waiting, rate)
		if err != nil {
			return "", fmt.Errorf("uplink %q: %w", rate, err)
		}
		name, drained, speed := "unlimited", r.drained.Round(10*time.Millisecond).String(), fmt.Sprintf("%.0f", float64(r.waiting)/r.drained.Seconds())
		if rate != "" {
			name = "256 kbit/s"
		}
		slices.Sort(r.late)
		slices.Sort(r.calm)
		t.row(name, millis(r.connected), millis(r.first), millis(quantile(r.late, 0.5)), millis(quantile(r.late, 0.99)), millis(quantile(r.calm, 0.5)), millis(quantile(r.calm, 0.99)), drained, speed)
	}
	vm, err := b.vmagentDrain(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`A node scraped %d times, every %s, while its line was away for %s: %d samples wait, in %.1f MB on disk. Then the line comes back.
What it scraped is the data set, over and over. It scrapes once a second from then on. Connected and first fresh count from the line's return; fresh is from the scrape until a
query at the centre shows that reading, for the first %s, in which the backlog drains behind it; calm is the same for as long
when nothing waits any more: the difference is what the backlog costs, the rest is what the centre needs until a query sees a
sample. The node is in a network namespace; 256 kbit/s is tc's token bucket in both directions. Drained means acknowledged:
durable in the centre's journal. Samples a second are those of the backlog, from the connection on.

%s
vmagent, filled through its import API while its line was away, drains %s samples a second on loopback; it sends oldest first.
`, int(offline/offlineEvery), offlineEvery, offline, waiting, float64(size)/1e6, watchTime, t.String(), vm), nil
}

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// quantile of what is sorted.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// fillBacklog puts a day of scrapes into a buffer, through its own doors, and lets
// it tidy up as it does while its line is away.
func (b *bench) fillBacklog(ctx context.Context, dir string) (samples int64, err error) {
	now := time.Now().Add(-offline)
	q, err := queue.Open(ctx, queue.Options{Dir: filepath.Join(dir, "buffer"), DiskBudget: 1 << 30, Now: func() time.Time { return now }})
	if err != nil {
		return 0, err
	}
	defer func() { err = firstOf(err, q.Close()) }()
	for i := range int(offline / offlineEvery) {
		batch := scrapeAt(b.set, i, now.UnixMilli())
		samples += int64(len(batch.Series))
		if err := q.Append(ctx, queue.Commit{Entries: []queue.Entry{{Lane: buffer.Detail, Batch: batch}}}); err != nil {
			return 0, err
		}
		now = now.Add(offlineEvery)
	}
	for {
		if n, err := q.Tidy(ctx); err != nil || n == 0 {
			return samples, err
		}
	}
}

// watchTime is how long fresh readings are watched after the line came back.
const watchTime = 25 * time.Second

// comeBack starts an agent on a copy of the backlog with its line away, gives it
// the line and watches.
func (b *bench) comeBack(ctx context.Context, backlog string, waiting int64, rate string) (r returned, err error) {
	name := "fresh" + rate
	v, err := newVenue(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = firstOf(err, v.close()) }()
	if rate != "" {
		if err := v.slow(ctx, rate); err != nil {
			return r, err
		}
	}
	ln, err := v.listen("127.0.0.1:9464")
	if err != nil {
		return r, err
	}
	node := newReplay(b.set, ln, 1)
	defer node.close()
	fleet, err := b.fleet(ctx, name+"-fleet", v.here+":7600")
	if err != nil {
		return r, err
	}
	defer fleet.stop()
	dir := filepath.Join(b.tmp, name+"-agent")
	if err := os.CopyFS(dir, os.DirFS(backlog)); err != nil {
		return r, err
	}
	if err := v.set(ctx, "down"); err != nil {
		return r, err
	}
	agent, err := b.agent(ctx, name, agentOptions{target: node.addr, fleet: fleet.addr, interval: time.Second, dir: dir, wrapper: v.exec(), page: "127.0.0.1:7500"})
	if err != nil {
		return r, err
	}
	defer agent.stop()
	err = until(ctx, 30*time.Second, "the agent to scrape", func() (bool, error) {
		n, _ := node.shown(name)
		return n >= 5, agent.ended()
	})
	if err != nil {
		return r, err
	}
	if err := v.set(ctx, "up"); err != nil {
		return r, err
	}
	r.waiting = waiting
	b.say("fresh: the line is back, limit %q", rate)
	return r, firstOf(b.watch(ctx, &r, node, name, v, fleet), agent.ended())
}

// watch asks the centre twenty times a second for the last reading, and twice a
// second for what it accepted.
func (b *bench) watch(ctx context.Context, r *returned, node *replay, name string, v *venue, fleet *program) error {
	up := time.Now()
	var connected, askedAll time.Time
	seen := 0
	before, _ := node.shown(name)
	var calm time.Time // from when on nothing waits and all is as ever
	for calm.IsZero() || time.Since(calm) < watchTime {
		if calm.IsZero() && r.drained > 0 && time.Since(up) > watchTime {
			calm = time.Now()
		}
		if time.Since(up) > 10*time.Minute {
			return fmt.Errorf("the backlog was not drained after %s", time.Since(up).Round(time.Second))
		}
		if connected.IsZero() && v.connected(ctx) {
			connected = time.Now()
			r.connected = connected.Sub(up)
		}
		n, err := lastReading(fleet.addr)
		if err != nil {
			return err
		}
		if n > seen && seen == 0 {
			r.first = time.Since(up)
		}
		for i := max(seen, before) + 1; i <= n; i++ {
			if at := node.at(name, i); at.Sub(up) < watchTime {
				r.late = append(r.late, time.Since(at))
			} else if !calm.IsZero() && at.After(calm) {
				r.calm = append(r.calm, time.Since(at))
			}
		}
		seen = max(seen, n)
		if r.drained == 0 && !connected.IsZero() && time.Since(askedAll) > 500*time.Millisecond {
			askedAll = time.Now()
			if n, err := accepted(fleet.addr); err != nil {
				return err
			} else if n >= r.waiting {
				r.drained = time.Since(connected)
			}
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// connected reports whether a connection to the fleet is established.
func (v *venue) connected(ctx context.Context) bool {
	out, err := output(ctx, "ss", "-Htn", "-N", v.name, "state", "established", "dport", "=", ":7600")
	return err == nil && len(out) > 0
}

// lastReading is the newest reading that a query at the centre shows; 0 if none.
func lastReading(addr string) (int, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := get("http://"+addr+"/api/v1/query?query="+reading, &answer); err != nil || len(answer.Data.Result) == 0 {
		return 0, err
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	return strconv.Atoi(text)
}

// accepted is how many samples the centre has in distinct blocks.
func accepted(addr string) (n int64, err error) {
	var lanes []struct {
		Samples int64 `json:"samples"`
	}
	err = get("http://"+addr+"/api/fleet/v1/accepted", &lanes)
	for _, l := range lanes {
		n += l.Samples
	}
	return n, err
}

// vmagentDrain fills a vmagent whose line is cut, and measures how fast its queue
// empties afterwards.
func (b *bench) vmagentDrain(ctx context.Context) (string, error) {
	node, err := replayHere(b.set)
	if err != nil {
		return "", err
	}
	defer node.close()
	centre, err := b.victoriaMetrics(ctx, "drain-centre")
	if err != nil {
		return "", err
	}
	defer centre.stop()
	run, err := b.wireRun(ctx, "drain-vmagent", node, centre, time.Minute)
	if err != nil {
		return "", err
	}
	defer run.close()
	if err := run.cut(); err != nil {
		return "", err
	}
	at := time.Now().Add(-offline)
	for i := range b.pick(3000, 5760) {
		url := fmt.Sprintf("http://%s/api/v1/import/prometheus?timestamp=%d", run.addr, at.Add(time.Duration(i)*offlineEvery).UnixMilli())
		if err := post(url, node.pages[i%len(node.pages)]); err != nil {
			return "", err
		}
	}
	before, err := metric("http://"+centre.addr+"/metrics", "vm_rows_inserted_total")
	if err != nil {
		return "", err
	}
	run.clear()
	// It comes back when its retry is due; the drain begins with the first bytes.
	up, _ := run.link.bytes()
	if err := until(ctx, time.Minute, "vmagent to come back", func() (bool, error) {
		now, _ := run.link.bytes()
		return now > up, nil
	}); err != nil {
		return "", err
	}
	begin := time.Now()
	if err := run.drained(ctx); err != nil {
		return "", err
	}
	took := time.Since(begin)
	after, err := metric("http://"+centre.addr+"/metrics", "vm_rows_inserted_total")
	return fmt.Sprintf("%.0f", (after-before)/took.Seconds()), err
}
