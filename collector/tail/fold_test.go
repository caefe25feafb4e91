package tail

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

var errFull = errors.New("disk is full")

// line is a log line to send.
type line struct {
	body  string
	level plog.SeverityNumber
	attrs map[string]string
	at    time.Time
	trace uint64
}

func logs(all ...line) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "shop")
	to := rl.ScopeLogs().AppendEmpty().LogRecords()
	for _, l := range all {
		lr := to.AppendEmpty()
		lr.Body().SetStr(l.body)
		lr.SetSeverityNumber(l.level)
		for k, v := range l.attrs {
			lr.Attributes().PutStr(k, v)
		}
		if !l.at.IsZero() {
			lr.SetTimestamp(pcommon.NewTimestampFromTime(l.at))
		}
		if l.trace != 0 {
			lr.SetTraceID(id(l.trace))
		}
	}
	return ld
}

// Each golden file has lines "SECOND LEVEL BODY [key=value ...]" after "in" and what
// is stored of them after "out".
func TestFoldGolden(t *testing.T) {
	files, err := os.ReadDir("testdata/fold")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			path := "testdata/fold/" + f.Name()
			ar, err := txtar.ParseFile(path)
			if err != nil || len(ar.Files) != 2 {
				t.Fatalf("%d files: %v", len(ar.Files), err)
			}
			got := foldAll(t, string(ar.Files[0].Data))
			if *update {
				ar.Files[1].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(ar), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(ar.Files[1].Data), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func foldAll(t *testing.T, in string) string {
	t.Helper()
	start := time.Unix(0, 0).UTC()
	d, c := newDisk(), &clock{at: start}
	o := options(d)
	o.Now = c.now
	tl := newTail(t, o)
	levels := map[string]plog.SeverityNumber{"-": 0, "debug": 5, "info": 9, "warn": 13, "error": 17}
	for text := range strings.Lines(in) {
		second, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		level, body, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(second)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		l := line{level: levels[level], attrs: map[string]string{}, at: start.Add(time.Duration(n) * time.Second)}
		body, attrs, _ := strings.Cut(body, " | ")
		l.body = body
		for pair := range strings.FieldsSeq(attrs) {
			k, v, _ := strings.Cut(pair, "=")
			l.attrs[k] = v
		}
		for c.at.Before(l.at) {
			tl.beat(c, time.Second)
		}
		tl.Logs(logs(l))
	}
	if err := tl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, lr := range d.lines {
		fmt.Fprintf(&b, "%s %s", lr.SeverityNumber(), lr.Body().AsString())
		attrs := lr.Attributes().AsRaw()
		for _, k := range slices.Sorted(maps.Keys(attrs)) {
			fmt.Fprintf(&b, " %s=%v", k, attrs[k])
		}
		b.WriteByte('\n')
	}
	s := tl.Stats()
	fmt.Fprintf(&b, "received %d, written %d, dropped %v, withheld %d, masked %d\n", s.Lines.Received, s.LinesStored, s.Lines.Dropped, s.Attributes, s.Redacted)
	return b.String()
}

// Errors are counted to the last, however many, and cost the budget nothing; the
// rest keeps within it.
func TestErrorsAreNeverLostToTheBudget(t *testing.T) {
	d, c := newDisk(), &clock{at: time.Unix(5000, 0)}
	o := options(d)
	o.Now, o.Logs.Budget = c.now, 1<<10
	tl := newTail(t, o)
	for i := range 100 {
		letter := string(rune('a'+i%26)) + strings.Repeat("y", i/26)
		for range 50 {
			tl.Logs(logs(line{body: "till " + letter + " fails", level: plog.SeverityNumberError}))
		}
		tl.Logs(logs(line{body: "door " + letter + " opens", level: plog.SeverityNumberInfo}))
	}
	tl.beat(c, 10*time.Second)
	if err := tl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var failed, opened int64
	for _, lr := range d.lines {
		n := int64(1)
		if v, ok := lr.Attributes().Get(FoldCount); ok {
			n = v.Int()
		}
		if lr.SeverityNumber() == plog.SeverityNumberError {
			failed += n
		} else {
			opened += n
		}
	}
	dropped := tl.Stats().Lines.Dropped[Budget]
	if failed != 5000 || opened == 0 || opened+dropped != 100 || dropped == 0 {
		t.Errorf("%d errors, %d other lines and %d dropped ones; want 5000 errors and 100 others, some of them dropped", failed, opened, dropped)
	}
}

// Lines of a failed journey are read with its trace: others never swallow them.
func TestLinesOfEvidenceAreNotFoldedIntoOthers(t *testing.T) {
	d, c := newDisk(), &clock{at: time.Unix(5000, 0)}
	o := options(d)
	o.Now = c.now
	tl := newTail(t, o)
	tl.Expect(id(9))
	for i := range 3 {
		tl.Logs(logs(line{body: fmt.Sprintf("payment %d fails", i), level: plog.SeverityNumberError, trace: uint64(i + 1)}))
	}
	tl.Logs(logs(line{body: "payment 7 fails", level: plog.SeverityNumberError, trace: 9}))
	if err := tl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var traces []uint64
	for _, lr := range d.lines {
		traces = append(traces, randomness(lr.TraceID()))
	}
	slices.Sort(traces)
	if diff := cmp.Diff([]uint64{1, 9}, traces); diff != "" {
		t.Error(diff)
	}
}
