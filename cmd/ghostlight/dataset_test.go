package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const smallSet = "S\t1\tcounter\tsales_total{till=\"1\",job=\"a\\\\b\"}\nS\t2\tgauge\ttemperature\n" +
	"V\t1000\t1\t7\nV\t1000\t2\t21.5\nV\t6003\t1\t9\nV\t6003\t2\tNaN\nV\t11000\t1\t9\nV\t80000\t2\t-Inf\n"

// What a set is written as reads back as the same set, whatever blocks it went
// through.
func FuzzDataSet(f *testing.F) {
	f.Add(smallSet)
	f.Add("S\t1\tgauge\tup\nV\t-5\t1\t1\n")
	f.Fuzz(func(t *testing.T, text string) {
		set, line, err := scanDataSet(strings.NewReader(text))
		if err != nil {
			if line < 0 || line > strings.Count(text, "\n")+1 {
				t.Errorf("error in line %d of %d: %v", line, strings.Count(text, "\n")+1, err)
			}
			return
		}
		var file bytes.Buffer
		if err := set.write(&file, set.blocks(15*time.Second)); err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(&file)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := scanDataSet(z)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(again.series) != len(set.series) || again.samples != set.samples ||
			!sameBatches(again.blocks(time.Minute), set.blocks(time.Minute)) {
			t.Errorf("the set changed by being written")
		}
	})
}

func TestDataSetErrorsNameTheLine(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no field":       {"S\t1\tgauge\tup\nV\t5\t1\n", `:2: want "S" or "V"`},
		"kind":           {"S\t1\tgaudy\tup\n", `:1: kind "gaudy" is unknown`},
		"series":         {"S\t1\tgauge\tup{a=1}\n", `labels are not of the form`},
		"label twice":    {"S\t1\tgauge\tup{a=\"1\",a=\"2\"}\n", `label a is there twice`},
		"id twice":       {"S\t1\tgauge\tup\nS\t1\tgauge\tdown\n", `:2: series 1 is declared twice`},
		"series twice":   {"S\t1\tgauge\tup\nS\t2\tgauge\tup{}\n", `:2: series "up{}" is declared as 1 already`},
		"late":           {"S\t1\tgauge\tup\nV\t5\t1\t1\nS\t2\tgauge\tdown\n", `:3: series is declared after the first sample`},
		"not declared":   {"S\t1\tgauge\tup\nV\t5\t2\t1\n", `:2: series 2 is not declared`},
		"time":           {"S\t1\tgauge\tup\nV\tnow\t1\t1\n", `:2: timestamp "now"`},
		"value":          {"S\t1\tgauge\tup\nV\t5\t1\tmuch\n", `:2: value "much" is not a number`},
		"back in time":   {"S\t1\tgauge\tup\nV\t5\t1\t1\nV\t4\t1\t1\n", `:3: timestamp 4 is before 5`},
		"nothing at all": {"", `the data set has no samples`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "set.tsv.gz")
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			if _, err := z.Write([]byte(tc.text)); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readDataSet(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

// A generated node is the same for the same seed, another for another, and
// catching up is no dearer than the stream.
func TestGeneratedSetsReplay(t *testing.T) {
	first, err := inventNode(3, 5*time.Minute, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	again, err := inventNode(3, 5*time.Minute, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	other, err := inventNode(4, 5*time.Minute, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	all := time.Hour
	if !sameBatches(first.blocks(all), again.blocks(all)) || sameBatches(first.blocks(all), other.blocks(all)) {
		t.Error("a seed does not tell the node")
	}
	m, decoded, err := measure(first, 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Lossless || !sameBatches(first.blocks(15*time.Second), decoded) {
		t.Error("the replay lost something")
	}
	if m.PerSampleOnline > 0.75 || m.PerSampleCatchUp > 0.75 || m.PerSampleAtRest > 3 {
		t.Errorf("%.3f bytes a sample online, %.3f catching up, %.3f at rest", m.PerSampleOnline, m.PerSampleCatchUp, m.PerSampleAtRest)
	}
	got := []int{m.Samples, m.Blocks, m.Series}
	if d := cmp.Diff([]int{first.samples, 20, len(first.series)}, got); d != "" {
		t.Errorf("samples, blocks and series (-want +got):\n%s", d)
	}
}
