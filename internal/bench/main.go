// Command bench measures Ghostlight and its peers side by side, in one run on one
// machine, and writes what it found into BENCHMARKS.md, each section between its
// own markers. Peers are the real programs and the real encoders, built at pinned
// versions from the module in peers/.
//
// It never leaves out a part because a tool is missing: it says what is missing
// and fails before it measures anything. What it measures are ratios on a machine
// that does nothing else; absolute figures hold for the machine that is named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ghostlight/internal/dataset"
)

// A section is one part of BENCHMARKS.md.
type section struct {
	name  string
	title string
	tools []string // besides Go
	run   func(context.Context, *bench) (string, error)
}

func sections() []section {
	return []section{
		{"wire", "Bytes on the wire, and what encoding costs", nil, wireSection},
		{"disk", "Disk for what waits", []string{"prometheus"}, diskSection},
		{"agent", "The whole agent: processor and memory", nil, agentSection},
		{"day", "All traffic of a node", []string{"ip"}, daySection},
		{"fresh", "After a day offline", []string{"ip", "tc"}, freshSection},
		{"payments", "What the agent does to payments", []string{"taskset"}, paymentsSection},
		{"page", "From a failed payment to the pager", []string{"prometheus-alertmanager"}, pageSection},
		{"contest", "The same nights, told to Prometheus", []string{"prometheus", "promtool"}, contestSection},
		{"ledger", "Objectives of ten thousand nodes", []string{"taskset"}, ledgerSection},
		{"rules", "Objectives: the ledger beside Prometheus' rules", []string{"prometheus", "promtool", "taskset"}, rulesSection},
	}
}

// bench is what all sections share.
type bench struct {
	data    string // the data set's file
	set     *dataset.Set
	ours    string // folder of our programs
	peers   string // folder of the peers
	tmp     string // removed at the end
	long    bool
	small   bool
	started time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := run
	if len(os.Args) == 4 && os.Args[1] == "centre" {
		do = func(ctx context.Context) error { return centre(ctx, os.Args[2], os.Args[3]) }
	}
	if len(os.Args) == 3 && os.Args[1] == "guests" {
		do = func(ctx context.Context) error { return guests(ctx, os.Args[2]) }
	}
	if err := do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b := &bench{started: time.Now()}
	flag.StringVar(&b.data, "data", "", "recorded data set, as ghostlight delta measure takes it")
	flag.StringVar(&b.ours, "bin", "bin", "folder of Ghostlight's programs")
	flag.StringVar(&b.peers, "peers", "bin/peers", "folder of the peers' programs")
	flag.BoolVar(&b.long, "long", false, "measure longer")
	flag.BoolVar(&b.small, "small", false, "measure a small part of what a fleet has, to try a section out; prints and writes nothing down")
	out := flag.String("out", "BENCHMARKS.md", "file to write to")
	only := flag.String("only", "", "sections to measure, with commas; all if empty")
	flag.Parse()
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if err := b.ready(chosen); err != nil {
		return err
	}
	if b.set, err = dataset.Read(b.data); err != nil {
		return err
	}
	if b.tmp, err = os.MkdirTemp("", "ghostlight-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)
	for _, s := range chosen {
		begin, busy := time.Now(), load1()
		b.say("%s ...", s.name)
		text, err := s.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		command := "make bench ONLY=" + s.name
		if b.long {
			command += " LONG=1"
		}
		text = fmt.Sprintf("%s\n`%s`, %s, took %s, load average %s before. %s\n", text, command, begin.UTC().Format("2006-01-02 15:04 MST"), time.Since(begin).Round(time.Second), busy, machine())
		if !b.small {
			if err := writeSection(*out, s.name, s.title, text); err != nil {
				return err
			}
		}
		fmt.Printf("## %s\n\n%s\n", s.title, text)
	}
	return nil
}

// choose finds the sections named.
func choose(names string) ([]section, error) {
	all := sections()
	if names == "" {
		return all, nil
	}
	var out []section
	var known []string
	for _, s := range all {
		known = append(known, s.name)
	}
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range all {
			if s.name == strings.TrimSpace(name) {
				out, found = append(out, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("section %q is unknown; there are: %s", name, strings.Join(known, ", "))
		}
	}
	return out, nil
}

// packages says which Debian package holds a tool.
var packages = map[string]string{"prometheus": "prometheus", "promtool": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager", "ip": "iproute2", "tc": "iproute2", "taskset": "util-linux"}

// ready reports everything that is missing, before anything is measured.
func (b *bench) ready(chosen []section) error {
	var missing []error
	if b.data == "" {
		missing = append(missing, errors.New("no data set: name one with make bench DATA=FILE.tsv.gz"))
	}
	for _, s := range chosen {
		for _, tool := range s.tools {
			if _, err := exec.LookPath(tool); err != nil {
				missing = append(missing, fmt.Errorf("section %s needs %s: apt-get install %s, or choose others with ONLY=", s.name, tool, packages[tool]))
			}
			if tool == "ip" && os.Geteuid() != 0 {
				missing = append(missing, fmt.Errorf("section %s makes a network namespace: run it as root, or choose others with ONLY=", s.name))
			}
		}
	}
	for _, program := range []string{"ghostlight", "ghostlight-agent", "ghostlight-fleet", "ghostlight-edgecore"} {
		if _, err := os.Stat(filepath.Join(b.ours, program)); err != nil {
			missing = append(missing, fmt.Errorf("%s is not built: run make build", program))
		}
	}
	for _, program := range []string{"vmagent", "victoria-metrics", "encode", "history"} {
		if _, err := os.Stat(filepath.Join(b.peers, program)); err != nil {
			missing = append(missing, fmt.Errorf("peer %s is not built: run make bench-peers", program))
		}
	}
	return errors.Join(missing...)
}

// say tells what goes on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0fs %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}
