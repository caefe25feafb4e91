package queue_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
	"ghostlight/internal/crashtest"
)

// The test binary is its own victim: with this set it appends until it is killed.
const crashDir = "GHOSTLIGHT_QUEUE_CRASH_DIR"

const crashRounds = 15

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := appendForEver(dir, os.Getenv("GHOSTLIGHT_QUEUE_CRASH_ROUND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(sweepDir); dir != "" {
		os.Exit(appendSome(dir))
	}
	// Each check is a few dozen fsyncs; -rapid.checks after this still wins.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// appendForEver appends to both files from several goroutines and prints what was
// acknowledged, each name once, and "cursor n" for the state committed with it.
// Blocks of the backlog are acknowledged meanwhile: "gone" before, as the fleet
// would know it; others are merged, and logs are more than the budget has room for.
func appendForEver(dir, round string) error {
	ctx := context.Background()
	q, err := queue.Open(ctx, queue.Options{Dir: dir, DiskBudget: queue.MinDiskBudget, RevenueReserve: 64 << 10, Now: (&clock{t: time.Now()}).hasty})
	if err != nil {
		return err
	}
	failed := make(chan error, 6)
	for g := range 4 {
		go func() { failed <- appendAs(ctx, q, round, g) }()
	}
	go func() { failed <- takeForEver(ctx, q) }()
	go func() {
		for {
			if _, err := q.Tidy(ctx); err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

func appendAs(ctx context.Context, q *queue.Queue, round string, g int) error {
	for i := 0; ; i++ {
		name := fmt.Sprintf("n%s_%d_%d", round, g, i)
		c := queue.Commit{Entries: []queue.Entry{entry(buffer.Revenue, name+"_r", 1), entry(buffer.Detail, name+"_d", 1), logs(24_000)}}
		c.State = map[string][]byte{fmt.Sprintf("cursor/%d", g): []byte(name)}
		if err := q.Append(ctx, c); err != nil {
			return err
		}
		fmt.Printf("kept %s_r\nkept %s_d\ncursor %d %s\n", name, name, g, name)
	}
}

// logs is an entry of records alone.
func logs(bytes int) queue.Entry {
	e := queue.Entry{Lane: buffer.Logs}
	for i := range 4 {
		e.Batch.Records = append(e.Batch.Records, record(buffer.Logs, "log", bytes/4+i).Batch.Records...)
	}
	return e
}

// takeForEver leaves the oldest of the backlog alone, which so grows.
func takeForEver(ctx context.Context, q *queue.Queue) error {
	for {
		blocks, err := q.Next(ctx, 2, nil)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			names, err := metricsOf(b)
			if err != nil {
				return err
			}
			for _, name := range names {
				fmt.Printf("gone %s\n", name)
			}
			if err := q.Ack(ctx, wire.Ack{Session: b.Session, Lane: b.Lane, Ranges: []wire.Range{{First: b.First, Last: b.Seq}}}); err != nil {
				return err
			}
		}
	}
}

// What a child said before it died.
type testimony struct {
	kept    map[string]bool
	gone    map[string]bool
	cursors map[string]string
}

// A child is killed at a random moment; what it said is believed line by line.
func runAndKill(t *testing.T, dir string, round int, after time.Duration, said *testimony) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, "GHOSTLIGHT_QUEUE_CRASH_ROUND="+strconv.Itoa(round))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	first := true
	for lines.Scan() {
		if first { // the moment counts from the first acknowledgement
			first = false
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		switch words := strings.Fields(lines.Text()); {
		case len(words) == 2 && words[0] == "kept":
			said.kept[words[1]] = true
		case len(words) == 2 && words[0] == "gone":
			said.gone[words[1]] = true
		case len(words) == 3 && words[0] == "cursor":
			said.cursors[words[1]] = words[2]
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("child was not killed: %v", err)
	}
	if first {
		t.Fatal("child acknowledged nothing")
	}
}

// A folder is killed at most folderKills times: every life has series of its own,
// and the small budget is to be filled by blocks, not by their dictionary.
const folderKills = 20

func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	for kills := crashtest.Kills(t, crashRounds); kills > 0; kills -= folderKills {
		killFolder(t, min(kills, folderKills))
	}
}

// killFolder kills so many children in a row on one folder, and looks each time at
// what is left.
func killFolder(t *testing.T, kills int) {
	t.Helper()
	dir := t.TempDir()
	said := &testimony{kept: map[string]bool{}, gone: map[string]bool{}, cursors: map[string]string{}}
	present := map[string]int{}
	merged, sampled := 0, int64(0)
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	for round := range kills {
		runAndKill(t, dir, round, time.Duration(random.IntN(60_000))*time.Microsecond, said)

		q := open(t, dir, &clock{t: time.Now()})
		state, err := q.State(t.Context(), "cursor/")
		if err != nil {
			t.Fatal(err)
		}
		for g, name := range said.cursors {
			if got := string(state["cursor/"+g]); sequenceOf(got) < sequenceOf(name) {
				t.Errorf("round %d: cursor %s is at %q after %q was acknowledged", round, g, got, name)
			}
		}
		seen := map[string]bool{}
		for _, b := range next(t, q, 1<<20) {
			id := fmt.Sprintf("%d %d %d", b.Session, b.Lane, b.Seq)
			if seen[id] {
				t.Errorf("round %d: block %s is there twice", round, id)
			}
			seen[id] = true
			for _, n := range names(t, []queue.Stored{b}) {
				present[n]++
			}
			if b.First < b.Seq {
				merged++
			}
			ack(t, q, b) // whatever is found is taken, as a fleet would
		}
		for lane, s := range q.Stats() {
			if s.Waiting != 0 || s.LostTotal() != 0 || s.Records.Waiting != 0 {
				t.Errorf("round %d: %s %+v after everything was taken", round, lane, s)
			}
			sampled = max(sampled, s.Records.Lost[queue.LostSampled])
		}
		if n := q.Quarantined(); n != 0 {
			t.Errorf("round %d: %d files were taken for damaged", round, n)
		}
		q.Close()
	}
	for name := range said.kept {
		if present[name] == 0 && !said.gone[name] {
			t.Errorf("block %s was acknowledged and is missing", name)
		}
	}
	for name, n := range present {
		if n > 1 {
			t.Errorf("block %s was there %d times", name, n)
		}
	}
	if merged == 0 || sampled == 0 {
		t.Errorf("%d merged blocks found, %d records given up: nothing was at risk", merged, sampled)
	}
	t.Logf("%d blocks acknowledged, %d taken before the kills, %d found after them, %d of the blocks merged; %d records given up", len(said.kept), len(said.gone), len(present), merged, sampled)
}

// sequenceOf is the number of an append within its round, and its round before.
func sequenceOf(name string) int {
	var round, g, i int
	if n, err := fmt.Sscanf(name, "n%d_%d_%d", &round, &g, &i); err != nil || n != 3 {
		return -1
	}
	return round<<32 | i
}
