package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ghostlight/internal/torture/peer"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
	"ghostlight/slo/shipped"
)

const (
	rulesNodes   = 200
	rulesHistory = 30 * 24 * time.Hour
	rulesOurs    = 7 // days of history in the ledger, whose cost does not depend on it
)

// rulesSection lets Debian's Prometheus keep the objectives of some nodes as rules,
// and the ledger keep the same ones.
func rulesSection(ctx context.Context, b *bench) (string, error) {
	promises, err := objectives()
	if err != nil {
		return "", err
	}
	nodes := b.share(rulesNodes)
	p, err := b.ruled(ctx, promises, nodes)
	if err != nil {
		return "", err
	}
	b.say("rules: the ledger")
	order := centreOrder{Nodes: nodes, Sample: nodes, Days: rulesOurs, Minutes: 60, Revisions: []int{1, 6}, Watches: true}
	_, rounds, err := b.ledgerRound(ctx, order)
	if err != nil {
		return "", err
	}
	once, often := rounds[0], rounds[1]
	t := table{rows: [][]string{{fmt.Sprintf("a minute of %d nodes x %d objectives", nodes, len(promises)), "processor", "peak MiB"}}}
	t.row("Prometheus, scraping", seconds(p.scraping), "")
	t.row("Prometheus, scraping and evaluating", seconds(p.ruling), mib(p.peak))
	t.row("Prometheus, the rules alone", seconds(p.ruling-p.scraping), "")
	t.row("**Ghostlight**, each bucket once", seconds(once.minute()), mib(once.Peak))
	t.row("Ghostlight, each bucket revised every 10 s", seconds(often.minute()), mib(often.Peak))
	t.row("**ratio**, once a minute both", fmt.Sprintf("**%.0f**", float64(p.ruling-p.scraping)/float64(once.minute())), "")
	t.row("ratio, ours six times a minute", fmt.Sprintf("%.0f", float64(p.ruling-p.scraping)/float64(often.minute())), "")
	return fmt.Sprintf(`Debian's Prometheus, with %d days of stored history: %d series of counters and recorded ratios, %d M samples a minute apart, in %d blocks as its
compaction leaves them. It scrapes the counters of all nodes once a minute, at first without rules for %s, then, after each group was
evaluated once, with them for %s: the rules that Sloth writes (a ratio over each of 5m, 30m, 1h, 2h, 6h, 1d, 3d from the counters, over 30d from
the recorded one, alerts over pairs of them), evaluated every minute, which is the default of both. One set of rules judges all nodes, by
label; Sloth would write a set for each, which costs more. Every objective is a pair of counters there, also those that no counter tells.

Ghostlight: the same nodes' buckets of the %d shipped objectives, on top of %d days of them, into the centre's ledger on disk, each
transaction with an fsync; the windows and alerts of %d objectives of venues, regions and fleet follow, and are judged every 10 s. The alerts
of the single nodes, which at a venue each node watches by itself, are watched here too and are in the figure. Virtual time, %d minutes.
What it costs to bring the counters and the buckets to the centre is in neither figure.

%s`, int(b.past(rulesHistory).Hours()/24), p.series, p.samples/1e6, p.blocks, p.quiet, p.watched, len(promises), order.Days, once.Scopes, once.Minutes, t.String()), nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// objectives are those that come with Ghostlight.
func objectives() ([]slo.Objective, error) {
	checkout, err := openslo.Decode("checkout.yaml", shipped.Checkout())
	if err != nil {
		return nil, err
	}
	venue, err := openslo.Decode("venue.yaml", shipped.Venue())
	return append(checkout, venue...), err
}

// ruled is what Prometheus needed.
type ruled struct {
	series, samples, blocks int
	quiet, watched          time.Duration
	scraping, ruling        time.Duration // processor time a minute
	peak                    int64
}

// A past is what the history command printed.
type past struct {
	Samples  int              `json:"samples"`
	Series   int              `json:"series"`
	Blocks   int              `json:"blocks"`
	Counters []counterReading `json:"counters"`
}

type counterReading struct {
	Series string `json:"series"`
	Value  int64  `json:"value"`
}

// ruled runs Prometheus without rules and then with them.
func (b *bench) ruled(ctx context.Context, promises []slo.Objective, nodes int) (r ruled, err error) {
	dir := filepath.Join(b.tmp, "rules")
	var names []string
	for _, o := range promises {
		names = append(names, o.Name)
	}
	b.say("rules: write %s of history for %d nodes", b.past(rulesHistory), nodes)
	now := time.Now().Truncate(time.Minute)
	out, err := output(ctx, filepath.Join(b.peers, "history"), "--dir", dir, "--nodes", strconv.Itoa(nodes), "--objectives", strings.Join(names, ","),
		"--from", strconv.FormatInt(now.Add(-b.past(rulesHistory)).Unix(), 10), "--to", strconv.FormatInt(now.Unix(), 10))
	if err != nil {
		return r, err
	}
	var p past
	if err := json.Unmarshal(out, &p); err != nil {
		return r, fmt.Errorf("what history prints: %w", err)
	}
	r.series, r.samples, r.blocks = p.Series, p.Samples, p.Blocks
	shown, err := showCounters(p.Counters, now)
	if err != nil {
		return r, err
	}
	defer shown.close()
	prom, err := b.prometheus(ctx, "rules", dir, shown.addr)
	if err != nil {
		return r, err
	}
	defer prom.stop()
	r.quiet, r.watched = time.Duration(b.pick(60, 120))*time.Second, time.Duration(b.pick(120, 300))*time.Second
	if r.scraping, err = prom.over(ctx, b, "without rules", r.quiet); err != nil {
		return r, err
	}
	if err := b.giveRules(ctx, prom, promises, nodes); err != nil {
		return r, err
	}
	if r.ruling, err = prom.over(ctx, b, "with rules", r.watched); err != nil {
		return r, err
	}
	if err := rulesHold(prom.addr, nodes*len(promises)); err != nil {
		return r, err
	}
	if least := int64((r.quiet + r.watched) / time.Minute); shown.reads.Load() < least {
		return r, fmt.Errorf("the counters were scraped %d times, want at least %d", shown.reads.Load(), least)
	}
	r.peak, err = prom.peak()
	return r, err
}

// over is the processor time a minute that a program uses for a while.
func (p *program) over(ctx context.Context, b *bench, how string, d time.Duration) (time.Duration, error) {
	b.say("rules: %s %s for %s", p.process.name, how, d)
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := wait(ctx, d); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return time.Duration(float64(after-before) / d.Minutes()), err
}

// prometheus starts Debian's Prometheus on stored history. Its rules are those in
// name.rules.yml, of which there are none yet.
func (b *bench) prometheus(ctx context.Context, name, dir, target string) (*program, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	// The labels of the scrape itself are not those of the history.
	config, err := b.write(name+".yml", fmt.Sprintf(`global: {scrape_interval: 1m, evaluation_interval: 1m}
rule_files: [%s]
scrape_configs:
- job_name: nodes
  honor_labels: true
  static_configs: [{targets: [%q]}]
  metric_relabel_configs: [{regex: job|instance, action: labeldrop}]
`, filepath.Join(b.tmp, name+".rules.yml"), target))
	if err != nil {
		return nil, err
	}
	s := &program{addr: addr, dir: dir}
	s.process, err = b.start(name, "prometheus", "--config.file="+config, "--web.listen-address="+addr, "--web.enable-lifecycle",
		"--storage.tsdb.path="+dir, "--storage.tsdb.retention.time=40d", "--log.level=warn")
	if err != nil {
		return nil, err
	}
	return s, s.ready(ctx, "http://"+addr+"/-/ready")
}

// giveRules writes the rules, has them read, and waits until each group was
// evaluated: the first time it reads its blocks from the disk.
func (b *bench) giveRules(ctx context.Context, prom *program, promises []slo.Objective, nodes int) error {
	var file peer.File
	for _, o := range promises {
		of := func(metric string) slo.Selector {
			return slo.Selector{Metric: metric, Matchers: []slo.Matcher{{Label: "slo", Op: "=", Value: o.Name}}}
		}
		file.Groups = append(file.Groups, peer.Rules(peer.Objective{
			ID: o.Name, Service: "venue", Target: o.Target, Days: 30, Bad: of("slo_bad_total"), Total: of("slo_events_total"),
			Tiers: slo.Tiers(rulesHistory), By: []string{"region", "venue", "node"},
		})...)
	}
	text, err := file.YAML()
	if err != nil {
		return err
	}
	path, err := b.write(prom.process.name+".rules.yml", string(text))
	if err != nil {
		return err
	}
	if err := peer.Check(ctx, path); err != nil {
		return err
	}
	if err := post("http://"+prom.addr+"/-/reload", nil); err != nil {
		return err
	}
	b.say("rules: wait for the first evaluation")
	return until(ctx, 5*time.Minute, "the rules to be evaluated", func() (bool, error) {
		groups, err := ruleGroups(prom.addr)
		idle := slices.ContainsFunc(groups, func(g ruleGroup) bool { return g.Evaluated.IsZero() })
		return len(groups) == len(file.Groups) && !idle, firstOf(prom.ended(), err)
	})
}

// A ruleGroup is one as Prometheus tells of it.
type ruleGroup struct {
	Name      string    `json:"name"`
	Evaluated time.Time `json:"lastEvaluation"`
	Rules     []struct {
		Name  string `json:"name"`
		Error string `json:"lastError"`
	} `json:"rules"`
}

func ruleGroups(addr string) ([]ruleGroup, error) {
	var answer struct {
		Data struct {
			Groups []ruleGroup `json:"groups"`
		} `json:"data"`
	}
	err := get("http://"+addr+"/api/v1/rules", &answer)
	return answer.Data.Groups, err
}

// rulesHold is an error unless all rules were evaluated in time and have a result
// over the whole period for each objective of each node.
func rulesHold(addr string, pairs int) error {
	groups, err := ruleGroups(addr)
	if err != nil {
		return err
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Error != "" {
				return fmt.Errorf("rule %s of %s: %s", r.Name, g.Name, r.Error)
			}
		}
	}
	missed, err := metric("http://"+addr+"/metrics", "prometheus_rule_group_iterations_missed_total")
	if err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("the rules are too much for this machine: Prometheus left %v evaluations out", missed)
	}
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := get("http://"+addr+"/api/v1/query?query=count(slo:sli_error:ratio_rate30d)", &answer); err != nil {
		return err
	}
	if len(answer.Data.Result) != 1 || answer.Data.Result[0].Value[1] != strconv.Itoa(pairs) {
		return fmt.Errorf("the rules made %v ratios over the whole period, want %d", answer.Data.Result, pairs)
	}
	return nil
}

// counters shows the readings of all nodes, which grow as time passes.
type counters struct {
	addr  string
	reads atomic.Int64
	srv   *http.Server
}

func (c *counters) close() { c.srv.Close() }

// showCounters serves them from where the history ended at begin.
func showCounters(list []counterReading, begin time.Time) (*counters, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counters{addr: ln.Addr().String()}
	c.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, countersPage(list, time.Since(begin))) //nolint:errcheck // a reader that went away
		c.reads.Add(1)
	})}
	go c.srv.Serve(ln) //nolint:errcheck // ends with close
	return c, nil
}

// countersPage is what a scrape shows after some time: half an event a second, and
// one in some sixty of them bad.
func countersPage(list []counterReading, after time.Duration) string {
	var page strings.Builder
	for _, r := range list {
		grown := int64(after.Minutes() * 30)
		if strings.HasPrefix(r.Series, "slo_bad_total") {
			grown = int64(after.Minutes() / 2)
		}
		fmt.Fprintf(&page, "%s %d\n", r.Series, r.Value+grown)
	}
	return page.String()
}
