package dataset

import (
	"bytes"
	"compress/gzip"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const smallSet = "S\t1\tcounter\tsales_total{till=\"1\",job=\"a\\\\b\"}\nS\t2\tgauge\ttemperature\n" +
	"V\t1000\t1\t7\nV\t1000\t2\t21.5\nV\t6003\t1\t9\nV\t6003\t2\tNaN\nV\t11000\t1\t9\nV\t80000\t2\t-Inf\n"

// bits tells values apart by their bits: -0 from 0, and NaN is NaN.
var bits = cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })

// What a set is written as reads back as the same set, whatever blocks it went
// through.
func FuzzDataSet(f *testing.F) {
	f.Add(smallSet)
	f.Add("S\t1\tgauge\tup\nV\t-5\t1\t1\n")
	f.Fuzz(func(t *testing.T, text string) {
		set, line, err := scan(strings.NewReader(text))
		if err != nil {
			if line < 0 || line > strings.Count(text, "\n")+1 {
				t.Errorf("error in line %d of %d: %v", line, strings.Count(text, "\n")+1, err)
			}
			return
		}
		var file bytes.Buffer
		if err := set.Write(&file, set.Blocks(15*time.Second)); err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(&file)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := scan(z)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(again.Series) != len(set.Series) || again.Samples != set.Samples ||
			!cmp.Equal(again.Blocks(time.Minute), set.Blocks(time.Minute), bits) {
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
			if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
