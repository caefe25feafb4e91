package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ghostlight/slo/shipped"
)

const (
	pageTrials = 120
	pageWave   = 12 // agents at once
)

// pageSection measures from the first failed payment of a show to Alertmanager.
func pageSection(ctx context.Context, b *bench) (string, error) {
	trials := pageTrials
	if b.small {
		trials = pageWave
	}
	c, err := b.openCentre(ctx, trials)
	if err != nil {
		return "", err
	}
	defer c.close()
	var took []time.Duration
	for first := 0; first < trials; first += pageWave {
		b.say("page: venues %d to %d of %d", first+1, min(first+pageWave, trials), trials)
		t, err := b.wave(ctx, c, first, min(first+pageWave, trials))
		if err != nil {
			return "", err
		}
		took = append(took, t...)
	}
	slices.Sort(took)
	t := table{rows: [][]string{{"first failed payment to Alertmanager", "trials", "least", "p50", "p90", "p99", "worst"}}}
	t.row("ghostlight-agent, ghostlight-fleet, prometheus-alertmanager", fmt.Sprint(len(took)), tenths(took[0]), tenths(quantile(took, 0.5)), tenths(quantile(took, 0.9)), "**"+tenths(quantile(took, 0.99))+"**", tenths(took[len(took)-1]))
	return fmt.Sprintf(`%d venues, each with an agent of its own on a fresh data folder, %d at a time; one centre, and Debian's Alertmanager behind it. A script stands
in for edgecore behind the same admin API: guests check in, and from a moment drawn at random on, a second after second each payment
fails, the first of the show. From the time that the outcome is committed with, to when Alertmanager's own API lists the page of this
node, asked every %s. Objective checkout-success as it is shipped; all programs with their defaults, all on this machine.

%s`, trials, pageWave, pollPages, t.String()), nil
}

func tenths(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// A pagedCentre is a fleet and its Alertmanager.
type pagedCentre struct {
	fleet      *program
	pager      *pager
	objectives string // the file of what each agent promises
	stop       []func()
}

func (c *pagedCentre) close() {
	for _, stop := range slices.Backward(c.stop) {
		stop()
	}
}

func pageVenue(i int) string { return fmt.Sprintf("venue-%03d", i) }

// openCentre starts a fleet that knows all venues, and where it pages to.
func (b *bench) openCentre(ctx context.Context, venues int) (c *pagedCentre, err error) {
	c = &pagedCentre{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	// The first of the file is checkout-success; the others need journeys.
	document, _, _ := bytes.Cut(shipped.Checkout(), []byte("\n---\n"))
	if c.objectives, err = b.write("checkout-success.yaml", string(document)); err != nil {
		return nil, err
	}
	manager, err := b.alertmanager(ctx)
	if err != nil {
		return nil, err
	}
	c.stop = append(c.stop, manager.stop)
	addr, err := free()
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	c.fleet = &program{addr: addr, dir: filepath.Join(b.tmp, "page-fleet")}
	fmt.Fprintf(&text, "listen: %s\ndata_dir: %s\nmemory_limit: 256MiB\nnotify: [{name: alertmanager, alertmanager: {url: 'http://%s'}}]\nnodes:\n", addr, c.fleet.dir, manager.addr)
	for i := range venues {
		fmt.Fprintf(&text, "  - {region: bench, venue: %[1]s, name: edge-1, token: %[2]s-%[1]s}\n", pageVenue(i), nodeToken)
	}
	config, err := b.write("page-fleet.yaml", text.String())
	if err != nil {
		return nil, err
	}
	if c.fleet.process, err = b.start("page-fleet", filepath.Join(b.ours, "ghostlight-fleet"), "--config", config); err != nil {
		return nil, err
	}
	c.stop = append(c.stop, c.fleet.stop)
	c.pager = watchPager(ctx, manager.addr)
	c.stop = append(c.stop, c.pager.stop)
	return c, c.fleet.ready(ctx, "http://"+addr+"/metrics")
}

// alertmanager starts Debian's Alertmanager, which tells nobody.
func (b *bench) alertmanager(ctx context.Context) (*program, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	config, err := b.write("alertmanager.yml", "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
	if err != nil {
		return nil, err
	}
	s := &program{addr: addr, dir: filepath.Join(b.tmp, "alertmanager")}
	s.process, err = b.start("alertmanager", "prometheus-alertmanager", "--config.file="+config, "--storage.path="+s.dir, "--web.listen-address="+addr, "--cluster.listen-address=")
	if err != nil {
		return nil, err
	}
	return s, s.ready(ctx, "http://"+addr+"/-/ready")
}

// pollPages is how often Alertmanager is asked what it has.
const pollPages = 25 * time.Millisecond

// A pager knows when Alertmanager first listed a node's page.
type pager struct {
	mu   sync.Mutex
	seen map[string]time.Time // by venue; guarded by mu
	err  error                // guarded by mu
	stop func()
}

// watchPager asks until it is stopped.
func watchPager(ctx context.Context, addr string) *pager {
	ctx, cancel := context.WithCancel(ctx)
	p := &pager{seen: map[string]time.Time{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for wait(ctx, pollPages) == nil {
			p.ask(addr)
		}
	})
	p.stop = func() { cancel(); wg.Wait() }
	return p
}

func (p *pager) ask(addr string) {
	var alerts []struct {
		Labels map[string]string `json:"labels"`
	}
	err := get("http://"+addr+"/api/v2/alerts", &alerts)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = firstOf(p.err, err)
	for _, a := range alerts {
		venue := a.Labels["venue"]
		if _, ok := p.seen[venue]; !ok && a.Labels["node"] != "" && a.Labels["severity"] == "page" {
			p.seen[venue] = now
		}
	}
}

// at is when a venue's page was first listed, zero if it was not.
func (p *pager) at(venue string) (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[venue], p.err
}

// pageAtMost is how long a page is waited for.
const pageAtMost = 2 * time.Minute

// wave lets the shows of some venues fail and returns how long each page took.
func (b *bench) wave(ctx context.Context, c *pagedCentre, first, end int) (took []time.Duration, err error) {
	var tills []*scriptedTill
	defer func() {
		var wg sync.WaitGroup
		for _, t := range tills {
			wg.Go(t.close)
		}
		wg.Wait()
	}()
	for i := first; i < end; i++ {
		t, err := b.scripted(ctx, c, pageVenue(i))
		if err != nil {
			return nil, err
		}
		tills = append(tills, t)
	}
	if err := c.live(ctx, tills); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	took, errs := make([]time.Duration, len(tills)), make([]error, len(tills))
	for i, t := range tills {
		wg.Go(func() { took[i], errs[i] = t.fail(ctx, c.pager) })
	}
	wg.Wait()
	return took, errors.Join(errs...)
}

// live waits until the centre hears all of them.
func (c *pagedCentre) live(ctx context.Context, tills []*scriptedTill) error {
	return until(ctx, time.Minute, "the agents to be heard", func() (bool, error) {
		var nodes []struct {
			Venue string `json:"venue"`
			Live  bool   `json:"live"`
		}
		if err := get("http://"+c.fleet.addr+"/api/fleet/v1/nodes", &nodes); err != nil {
			return false, err
		}
		live := map[string]bool{}
		for _, n := range nodes {
			live[n.Venue] = n.Live
		}
		for _, t := range tills {
			if err := t.agent.ended(); err != nil {
				return false, err
			}
			if !live[t.venue] {
				return false, nil
			}
		}
		return true, nil
	})
}

// scripted starts a stand-in of edgecore, and an agent on it.
func (b *bench) scripted(ctx context.Context, c *pagedCentre, venue string) (*scriptedTill, error) {
	t, err := newTill(venue)
	if err != nil {
		return nil, err
	}
	name := "page-" + venue
	config, err := b.write(name+".yaml", fmt.Sprintf(`node: {region: bench, venue: %[1]s, name: edge-1}
data_dir: %[2]s
fleet: {url: 'http://%[3]s', token: %[4]s-%[1]s}
page: {listen: '127.0.0.1:0'}
otlp: {grpc: '', http: ''}
edgecore: {url: 'http://%[5]s', admin_url: 'http://%[5]s', admin_token: %[6]s, synthetic_key: %[7]s}
objectives: [{file: %[8]s}]
`, venue, filepath.Join(b.tmp, name), c.fleet.addr, nodeToken, t.addr, adminToken, claimKey, c.objectives))
	if err != nil {
		t.close()
		return nil, err
	}
	t.agent, err = b.start(name, filepath.Join(b.ours, "ghostlight-agent"), "--config", config)
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// fail lets guests check in for a random time, then payments fail until the page is
// there.
func (t *scriptedTill) fail(ctx context.Context, p *pager) (time.Duration, error) {
	calm := time.Duration(rand.Int64N(int64(10 * time.Second)))
	for end := time.Now().Add(3*time.Second + calm); time.Now().Before(end); {
		t.commit("checkin", true)
		if err := wait(ctx, min(time.Second, time.Until(end))); err != nil {
			return 0, err
		}
	}
	if at, err := p.at(t.venue); err != nil {
		return 0, err
	} else if !at.IsZero() {
		return 0, fmt.Errorf("%s paged before anything failed", t.venue)
	}
	begin := t.commit("payment", false)
	for {
		if at, err := p.at(t.venue); err != nil || !at.IsZero() {
			return at.Sub(begin), err
		}
		if time.Since(begin) > pageAtMost {
			return 0, firstOf(t.agent.ended(), fmt.Errorf("%s: no page within %s", t.venue, pageAtMost))
		}
		if err := wait(ctx, time.Second); err != nil {
			return 0, err
		}
		t.commit("payment", false)
	}
}
