package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
)

// diskSection fills each agent's buffer while nobody answers.
func diskSection(ctx context.Context, b *bench) (string, error) {
	t := table{rows: [][]string{{"", "scrapes", "samples", "bytes on disk", "bytes a sample"}}}
	node, err := replayHere(b.set)
	if err != nil {
		return "", err
	}
	defer node.close()
	nobody, err := free()
	if err != nil {
		return "", err
	}
	vm, err := b.vmagent(ctx, "disk-vmagent", node.addr, nobody, time.Second)
	if err != nil {
		return "", err
	}
	defer vm.stop()
	prom, err := b.prometheusAgent(ctx, "disk-prometheus", node.addr, nobody, time.Second)
	if err != nil {
		return "", err
	}
	defer prom.stop()
	last := time.Duration(b.pick(60, 360)) * time.Second
	b.say("disk: vmagent and Prometheus for %s", last)
	if err := wait(ctx, last); err != nil {
		return "", err
	}
	for _, p := range []struct {
		name, counter string
		*program
	}{
		{"vmagent, persistent queue", "vmagent_remotewrite_global_rows_pushed_before_relabel_total", vm},
		{"Prometheus agent, WAL", "prometheus_agent_samples_appended_total", prom},
	} {
		samples, err := metric("http://"+p.addr+"/metrics", p.counter)
		if err != nil {
			return "", err
		}
		scrapes, _ := node.shown(p.process.name)
		p.stop() // what it held in memory is on disk now
		size, err := folderBytes(p.dir, "flock.lock", "lock")
		if err != nil {
			return "", err
		}
		t.row(p.name, fmt.Sprint(scrapes), fmt.Sprintf("%.0f", samples), fmt.Sprint(size), fmt.Sprintf("%.2f", float64(size)/samples))
	}
	if err := b.diskOurs(ctx, &t); err != nil {
		return "", err
	}
	return fmt.Sprintf(`Nobody answers, so everything waits; a scrape of about %d samples every second for the peers' processes. Each was stopped
before its folder was measured, so that nothing waited in memory. Ghostlight's queue got the scrapes of the data set one by one,
each committed with a full fsync; its files are measured closed, SQLite's own pages included.

%s`, b.set.Samples/len(b.set.Scrapes), t.String()), nil
}

// diskOurs measures the queue before and after it merged what waits.
func (b *bench) diskOurs(ctx context.Context, t *table) error {
	dir := filepath.Join(b.tmp, "disk-queue")
	now := time.UnixMilli(b.set.Scrapes[0].Time)
	open := func() (*queue.Queue, error) {
		return queue.Open(ctx, queue.Options{Dir: dir, DiskBudget: 1 << 30, Now: func() time.Time { return now }})
	}
	q, err := open()
	if err != nil {
		return err
	}
	for i, sc := range b.set.Scrapes {
		now = time.UnixMilli(sc.Time)
		if err := q.Append(ctx, queue.Commit{Entries: []queue.Entry{{Lane: buffer.Detail, Batch: scrapeAt(b.set, i, sc.Time)}}}); err != nil {
			q.Close() //nolint:errcheck // the first error counts
			return err
		}
	}
	measure := func(name string) error {
		if err := q.Close(); err != nil {
			return err
		}
		size, err := folderBytes(dir)
		t.row(name, fmt.Sprint(len(b.set.Scrapes)), fmt.Sprint(b.set.Samples), fmt.Sprint(size), fmt.Sprintf("**%.2f**", float64(size)/float64(b.set.Samples)))
		return err
	}
	if err := measure("Ghostlight, as committed"); err != nil {
		return err
	}
	now = now.Add(time.Hour) // nothing is fresh any more
	if q, err = open(); err != nil {
		return err
	}
	for {
		n, err := q.Tidy(ctx)
		if err != nil {
			q.Close() //nolint:errcheck // the first error counts
			return err
		}
		if n == 0 {
			break
		}
	}
	return measure("Ghostlight, merged while idle")
}
