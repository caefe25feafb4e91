package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ghostlight/slo/shipped"
)

const (
	tills      = 4
	tillPause  = 100 * time.Millisecond // between two customers of a till
	claimKey   = "bench-synthetic-key-of-32-characters"
	adminToken = "bench-admin-token"
	hubToken   = "bench-hub-token"
)

// paymentsSection measures payments with and without the agent on edgecore's core,
// turn by turn, so that what the machine does meanwhile hits both alike.
func paymentsSection(ctx context.Context, b *bench) (string, error) {
	shop, err := b.openShop(ctx)
	if err != nil {
		return "", err
	}
	defer shop.close()
	// The crowd stays off the core that is measured.
	if _, err := output(ctx, "taskset", "-acp", "1", strconv.Itoa(os.Getpid())); err != nil {
		return "", err
	}
	defer output(context.Background(), "taskset", "-acp", "0-1", strconv.Itoa(os.Getpid())) //nolint:errcheck // the last section
	turns, each := b.pick(3, 8), time.Duration(b.pick(20, 60))*time.Second
	var alone, watched []turn
	var peak int64
	for i := range turns {
		b.say("payments: turn %d of %d", i+1, turns)
		t, err := shop.sell(ctx, each)
		if err != nil {
			return "", err
		}
		alone = append(alone, t)
		agent, err := b.watchShop(ctx, shop)
		if err != nil {
			return "", err
		}
		t, err = shop.sell(ctx, each)
		if err == nil {
			peak, err = agent.peak()
		}
		agent.stop()
		if err != nil {
			return "", err
		}
		watched = append(watched, t)
	}
	t := table{rows: [][]string{{"", "payments", "p50", "p99", "p99 of each turn"}}}
	a, w := median(alone), median(watched)
	t.row("edgecore alone", fmt.Sprint(count(alone)), micros(a.p50), micros(a.p99), each99(alone))
	t.row("with ghostlight-agent", fmt.Sprint(count(watched)), micros(w.p50), micros(w.p99), each99(watched))
	worse := func(a, b time.Duration) string { return fmt.Sprintf("%+.1f %%", 100*(float64(b)/float64(a)-1)) }
	t.row("**difference**", "", worse(a.p50, w.p50), "**"+worse(a.p99, w.p99)+"**", "")
	return fmt.Sprintf(`edgecore is bound to one core; the agent, when it runs, to the same one, with everything on: it scrapes edgecore and reads the host
every 5 s, takes its traces, reads its outcomes, walks the revenue path and judges an objective; its peak memory was %s MiB.
%d tills on the other core, where hub and fleet are too, each serve a customer %s after the one before. Turns of
%s alternate; p50 and p99 are the medians over the turns of what the tills measured for payments alone, exactly.

%s`, mib(peak), tills, tillPause, each, t.String()), nil
}

// A shop is an edgecore with its hub, and a fleet.
type shop struct {
	hub, edge, fleet *process
	url, admin, otlp string
	fleetAddr        string
	sold             int
}

func (s *shop) close() {
	for _, p := range []*process{s.edge, s.hub, s.fleet} {
		if p != nil {
			p.stop()
		}
	}
}

// openShop starts everything but the agent.
func (b *bench) openShop(ctx context.Context) (s *shop, err error) {
	s = &shop{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var hub string
	for _, addr := range []*string{&hub, &s.url, &s.admin, &s.otlp, &s.fleetAddr} {
		if *addr, err = free(); err != nil {
			return nil, err
		}
	}
	if err := b.startShop(s, hub, []string{"taskset", "-c", "1"}, []string{"taskset", "-c", "0"}); err != nil {
		return nil, err
	}
	fleet, err := b.fleet(ctx, "payments-fleet", s.fleetAddr)
	if err != nil {
		return nil, err
	}
	if s.fleet = fleet.process; s.fleet != nil {
		if _, err := output(ctx, "taskset", "-acp", "1", strconv.Itoa(s.fleet.pid())); err != nil {
			return nil, err
		}
	}
	return s, until(ctx, time.Minute, "edgecore to sell", func() (bool, error) {
		_, err := s.customer(ctx, "first")
		return err == nil, s.edge.ended()
	})
}

// startShop starts hub and edgecore, each in its wrapper.
func (b *bench) startShop(s *shop, hub string, wrapHub, wrapEdge []string) error {
	hubConfig, err := b.write("hub.yaml", fmt.Sprintf("role: hub\nname: hub\nlisten: %s\ndata_dir: %s\nhub: {token: %s}\ncatalog: {seed: 1, items: 40}\n", hub, filepath.Join(b.tmp, "hub"), hubToken))
	if err != nil {
		return err
	}
	edgeConfig, err := b.write("edge.yaml", fmt.Sprintf("role: node\nname: edge-1\nlisten: %s\nadmin: {listen: %s, token: %s}\ndata_dir: %s\nhub: {url: 'http://%s', token: %s}\nsynthetic_key: %s\notlp: {endpoint: 'http://%s'}\n",
		s.url, s.admin, adminToken, filepath.Join(b.tmp, "edge"), hub, hubToken, claimKey, s.otlp))
	if err != nil {
		return err
	}
	edgecore := filepath.Join(b.ours, "ghostlight-edgecore")
	if s.hub, err = b.start("hub", append(wrapHub, edgecore, "--config", hubConfig)...); err != nil {
		return err
	}
	s.edge, err = b.start("edge", append(wrapEdge, edgecore, "--config", edgeConfig)...)
	return err
}

// watching is the part of an agent's configuration that looks at the shop: everything.
func (s *shop) watching(every time.Duration, objectives ...string) string {
	var files []string
	for _, file := range objectives {
		files = append(files, "{file: "+file+"}")
	}
	return fmt.Sprintf(`scrape: {interval: %[7]s, timeout: 4s, targets: [{job: edgecore, url: 'http://%[1]s/metrics'}]}
host: {enabled: true, interval: %[7]s}
otlp: {http: '%[2]s'}
edgecore: {url: 'http://%[3]s', admin_url: 'http://%[1]s', admin_token: %[4]s, synthetic_key: %[5]s}
journeys: [{shipped: revenue-path}]
objectives: [%[6]s]
`, s.admin, s.otlp, s.url, adminToken, claimKey, strings.Join(files, ", "), every)
}

// watchShop starts the agent on edgecore's core and lets it settle.
func (b *bench) watchShop(ctx context.Context, s *shop) (*program, error) {
	objectives, err := b.write("checkout.yaml", string(shipped.Checkout()))
	if err != nil {
		return nil, err
	}
	agent, err := b.agent(ctx, "payments-agent", agentOptions{fleet: s.fleetAddr, wrapper: []string{"taskset", "-c", "0"}, more: s.watching(5*time.Second, objectives)})
	if err != nil {
		return nil, err
	}
	if err := agent.ready(ctx, "http://"+agent.addr+"/"); err != nil {
		return nil, err
	}
	return agent, wait(ctx, 5*time.Second)
}

// A turn is how long payments took.
type turn struct {
	n        int
	p50, p99 time.Duration
}

// sell lets the tills sell for a while.
func (s *shop) sell(ctx context.Context, d time.Duration) (turn, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards what follows
		all   []time.Duration
		first error
	)
	for till := range tills {
		s.sold++
		name := fmt.Sprintf("turn-%d-till-%d", s.sold, till)
		wg.Go(func() {
			for i := 0; wait(ctx, tillPause) == nil; i++ {
				took, err := s.customer(ctx, fmt.Sprintf("%s-%d", name, i))
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				if all = append(all, took); err != nil {
					first = firstOf(first, err)
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	return turn{len(all), quantile(all, 0.5), quantile(all, 0.99)}, first
}

// customer checks in, orders, pays, and returns how long the payment took.
func (s *shop) customer(ctx context.Context, id string) (time.Duration, error) {
	var got struct {
		Ticket  string `json:"ticket"`
		CheckIn string `json:"checkin_id"`
		Order   string `json:"order_id"`
		Status  string `json:"status"`
		Items   []struct {
			SKU string `json:"sku"`
		} `json:"items"`
	}
	if err := s.call(ctx, http.MethodGet, "/v1/catalog", "", nil, &got); err != nil || len(got.Items) == 0 {
		return 0, fmt.Errorf("catalogue of %d items: %w", len(got.Items), err)
	}
	type m = map[string]any
	if err := s.call(ctx, http.MethodPost, "/v1/tickets", "", m{}, &got); err != nil {
		return 0, err
	}
	if err := s.call(ctx, http.MethodPost, "/v1/checkins", id+"-in", m{"ticket": got.Ticket}, &got); err != nil {
		return 0, err
	}
	order := m{"checkin_id": got.CheckIn, "items": []m{{"sku": got.Items[0].SKU, "quantity": 1}}}
	if err := s.call(ctx, http.MethodPost, "/v1/orders", id+"-order", order, &got); err != nil {
		return 0, err
	}
	begin := time.Now()
	err := s.call(ctx, http.MethodPost, "/v1/orders/"+got.Order+"/payments", id+"-pay", m{"method": "card", "token": "tok_ok"}, &got)
	took := time.Since(begin)
	if err == nil && got.Status != "captured" {
		err = fmt.Errorf("payment is %q", got.Status)
	}
	return took, err
}

// call makes one request of edgecore's public API.
func (s *shop) call(ctx context.Context, method, path, key string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return do(r, into)
}

func micros(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func count(turns []turn) (n int) {
	for _, t := range turns {
		n += t.n
	}
	return n
}

// median takes each figure's own median.
func median(turns []turn) (m turn) {
	var p50, p99 []time.Duration
	for _, t := range turns {
		p50, p99 = append(p50, t.p50), append(p99, t.p99)
	}
	slices.Sort(p50)
	slices.Sort(p99)
	return turn{p50: quantile(p50, 0.5), p99: quantile(p99, 0.5)}
}

func each99(turns []turn) (text string) {
	for i, t := range turns {
		if i > 0 {
			text += ", "
		}
		text += micros(t.p99)
	}
	return text
}
