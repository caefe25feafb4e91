package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"ghostlight/internal/uplink"
)

// spans are the times that one message covers; the data set has a scrape every
// five seconds. The last stands for what is sent after an outage.
var spans = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, catchUp}

const catchUp = 10 * time.Minute

// encoded is what a sender made of the data set.
type encoded struct {
	Sender    string  `json:"sender"`
	PerSample float64 `json:"bytes_per_sample"`
	EncodeNS  float64 `json:"encode_ns_per_sample"`
}

// wireSection measures each encoder on the data set, and vmagent as it runs.
func wireSection(ctx context.Context, b *bench) (string, error) {
	size := table{rows: [][]string{{"bytes a sample", "5 s", "15 s", "60 s", "catch-up"}}}
	cpu := table{rows: [][]string{{"processor ns a sample", "5 s", "15 s", "60 s", "catch-up"}}}
	rows := map[string][]encoded{}
	var order []string
	for _, span := range spans {
		results, err := b.encoders(ctx, span)
		if err != nil {
			return "", err
		}
		for _, r := range results {
			if rows[r.Sender] == nil {
				order = append(order, r.Sender)
			}
			rows[r.Sender] = append(rows[r.Sender], r)
		}
	}
	vm, err := b.vmagentWire(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range order {
		s, c := []string{name}, []string{name}
		for _, r := range rows[name] {
			s, c = append(s, fmt.Sprintf("%.3f", r.PerSample)), append(c, fmt.Sprintf("%.0f", r.EncodeNS))
		}
		if size.row(s...); rows[name][0].EncodeNS > 0 {
			cpu.row(c...)
		}
	}
	size.row(vm...)
	return fmt.Sprintf(`One message covers the time above it; the data set has %d samples in %d scrapes, one every 5 s. Catch-up: what waited is
sent in messages of 10 min by OTLP and Arrow, in requests of 2,000 samples by Prometheus, by vmagent as it drains its own disk
after an outage, and by Ghostlight as merged blocks between fresh ones, as the node does it. Frames, lengths and gRPC's message heads are counted; for encoders HTTP's heads are not, which favours the peers; for
vmagent, a running program, all bytes of its connections are. Each peer's output was decoded again and counted.

%s
Encoding alone, one thread, the collector's time included; OTLP and Arrow start from pdata in memory. Ghostlight codes each
block twice, for the stream and at rest, and both are counted.

%s`, b.set.Samples, len(b.set.Scrapes), size.String(), cpu.String()), nil
}

// encoders runs every encoder over the data set once.
func (b *bench) encoders(ctx context.Context, span time.Duration) ([]encoded, error) {
	out, err := output(ctx, filepath.Join(b.peers, "encode"), "--set", b.data, "--block", span.String())
	if err != nil {
		return nil, err
	}
	var results []encoded
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var r encoded
		if err := dec.Decode(&r); err != nil {
			return nil, fmt.Errorf("what the peers' encoders print: %w", err)
		}
		results = append(results, r)
	}
	ours, err := b.measure(ctx, span)
	if err != nil {
		return nil, err
	}
	online := ours.Online
	if span == catchUp {
		// Merged blocks of a backlog between fresh ones of 15 s.
		m, err := b.measure(ctx, 15*time.Second)
		if err != nil {
			return nil, err
		}
		online = m.CatchUp
	}
	return append(results,
		encoded{Sender: "**Ghostlight, on the stream**", PerSample: online, EncodeNS: ours.EncodeNS},
		encoded{Sender: "Ghostlight, at rest", PerSample: ours.AtRest}), nil
}

// measured is what ghostlight delta measure prints.
type measured struct {
	Online   float64 `json:"bytes_per_sample_online"`
	CatchUp  float64 `json:"bytes_per_sample_catchup"`
	AtRest   float64 `json:"bytes_per_sample_at_rest"`
	EncodeNS float64 `json:"encode_ns_per_sample"`
	Lossless bool    `json:"lossless"`
}

// measure runs our own encoder over the data set.
func (b *bench) measure(ctx context.Context, span time.Duration) (m measured, err error) {
	out, err := output(ctx, "env", "GOMAXPROCS=1", filepath.Join(b.ours, "ghostlight"), "delta", "measure", b.data, "--block", span.String(), "--json")
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return m, fmt.Errorf("what ghostlight delta measure prints: %w", err)
	}
	if !m.Lossless {
		err = errors.New("ghostlight delta measure: what was decoded differs from what was encoded")
	}
	return m, err
}

// output runs a program and returns what it prints.
func output(ctx context.Context, command ...string) ([]byte, error) {
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	return out, nil
}

// vmagentWire runs vmagents against a real VictoriaMetrics: three whose requests,
// one a second, hold one, three and twelve scrapes, and one whose line is cut for
// a while and then drains.
func (b *bench) vmagentWire(ctx context.Context) (cells []string, err error) {
	node, err := replayHere(b.set)
	if err != nil {
		return nil, err
	}
	defer node.close()
	centre, err := b.victoriaMetrics(ctx, "wire-centre")
	if err != nil {
		return nil, err
	}
	defer centre.stop()
	cells = []string{"vmagent to VictoriaMetrics, running"}
	last := time.Duration(b.pick(30, 120)) * time.Second
	var runs []*wireRun
	for i, interval := range []time.Duration{time.Second, time.Second / 3, time.Second / 12, time.Second} {
		r, err := b.wireRun(ctx, fmt.Sprintf("wire-%d", i), node, centre, interval)
		if err != nil {
			return nil, err
		}
		defer r.close()
		runs = append(runs, r)
		if i == 3 {
			if err := r.cut(); err != nil {
				return nil, err
			}
		}
	}
	b.say("wire: four vmagents for %s", last)
	if err := wait(ctx, last); err != nil {
		return nil, err
	}
	for i, r := range runs {
		per, err := r.perSample(ctx, i == 3)
		if err != nil {
			return nil, err
		}
		cells = append(cells, fmt.Sprintf("%.2f", per))
	}
	return cells, nil
}

// pick is the short or the long measure of something.
func (b *bench) pick(short, long int) int {
	if b.long {
		return long
	}
	return short
}

// wireRun is one vmagent and its link.
type wireRun struct {
	*program
	link  *link
	clear func()
}

func (b *bench) wireRun(ctx context.Context, name string, node *replay, centre *program, interval time.Duration) (r *wireRun, err error) {
	r = &wireRun{}
	if r.link, err = newLink(centre.addr); err != nil {
		return nil, err
	}
	if r.program, err = b.vmagent(ctx, name, node.addr, r.link.addr, interval); err != nil {
		r.link.stop()
		return nil, err
	}
	return r, nil
}

func (r *wireRun) close() {
	r.stop()
	r.link.stop()
}

// perSample is what the run's line carried for each sample, in both directions.
func (r *wireRun) perSample(ctx context.Context, drain bool) (float64, error) {
	if !drain {
		// Requests leave once a second: count right after one.
		up, _ := r.link.bytes()
		if err := until(ctx, 10*time.Second, r.name+" to send", func() (bool, error) {
			now, _ := r.link.bytes()
			return now > up, nil
		}); err != nil {
			return 0, err
		}
	} else {
		r.clear()
		if err := r.drained(ctx); err != nil {
			return 0, err
		}
	}
	samples, err := metric("http://"+r.addr+"/metrics", "vmagent_remotewrite_global_rows_pushed_before_relabel_total")
	up, down := r.link.bytes()
	return float64(up+down) / samples, err
}

// cut takes the line away until clear is called.
func (r *wireRun) cut() (err error) {
	r.clear, err = r.link.Set(uplink.Fault{Kind: uplink.Cut})
	return err
}

// drained waits until nothing waits in vmagent's queue.
func (r *wireRun) drained(ctx context.Context) error {
	return until(ctx, 2*time.Minute, r.name+" to drain", func() (bool, error) {
		pending, err := metric("http://"+r.addr+"/metrics", "vmagent_remotewrite_pending_data_bytes")
		return pending == 0, err
	})
}
