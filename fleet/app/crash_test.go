package app

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ghostlight/fleet/config"
	"ghostlight/fleet/store"
	"ghostlight/internal/crashtest"
	"ghostlight/internal/daemon"
	"ghostlight/internal/sqlite"
)

// childEnv makes the test binary run a fleet with the configuration it names.
const childEnv = "GHOSTLIGHT_TEST_FLEET"

func TestMain(m *testing.M) {
	file := os.Getenv(childEnv)
	if file == "" {
		os.Exit(m.Run())
	}
	os.Exit(daemon.Main("fleet", func(ctx context.Context) error {
		cfg, err := config.Load(file)
		if err != nil {
			return err
		}
		fleet, err := New(cfg, Options{
			// Often, so that kills meet every stage of it; but no younger than what
			// the database may still hold in its insert buffers, which is two seconds.
			TrimEvery: 100 * time.Millisecond, BarrierAge: 4 * time.Second,
			Ready: func(addr net.Addr) { fmt.Println(addr) },
		})
		if err != nil {
			return err
		}
		return fleet.Run(ctx)
	}))
}

const fleetYAML = `
listen: 127.0.0.1:0
data_dir: %s
api_token: token-of-the-api
nodes:
  - {region: uk, venue: soho, name: soho-1, token: token-of-soho}
  - {region: uk, venue: camden, name: camden-1, token: token-of-camden}
`

// A child is a fleet in a process of its own.
type child struct {
	cmd    *exec.Cmd
	url    string
	stderr bytes.Buffer
}

func start(t *testing.T, file string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+file)
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.cmd.Wait()
		t.Fatalf("fleet did not start: %v\n%s", err, &c.stderr)
	}
	c.url = "http://" + strings.TrimSpace(line)
	return c
}

func (c *child) end(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	err := c.cmd.Wait()
	if sig == syscall.SIGTERM && err != nil {
		t.Fatalf("fleet did not stop well: %v\n%s", err, &c.stderr)
	}
}

func (c *child) get(t *testing.T, path string) string {
	t.Helper()
	res, err := http.Get(c.url + path)
	if err != nil {
		t.Fatalf("%v\n%s", err, &c.stderr)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %s (%v)", path, res.StatusCode, text, err)
	}
	return string(text)
}

// TestNothingAcknowledgedIsLost kills the fleet again and again while two nodes
// send, one by POST and one by stream; afterwards every block counts once and every
// sample is there, exactly.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.yaml")
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(file, fmt.Appendf(nil, fleetYAML, data), 0o600); err != nil {
		t.Fatal(err)
	}
	kills := crashtest.Kills(t, 6)
	blocks := 100 * kills
	var fleet atomic.Pointer[child]
	var acked, quota atomic.Int64
	fleet.Store(start(t, file))
	first := time.Now().Add(-time.Hour).UnixMilli()
	senders := []*sender{
		{venue: "soho", blocks: blocks, start: first, fleet: &fleet, acked: &acked, quota: &quota},
		{venue: "camden", blocks: blocks, start: first, fleet: &fleet, acked: &acked, quota: &quota, streams: true},
	}
	var wg sync.WaitGroup
	for i, s := range senders {
		wg.Go(func() { s.run(t, uint64(i)) })
	}
	deadline := time.Now().Add(time.Duration(kills) * 10 * time.Second)
	trims := 0
	for n := range kills {
		share := int64((n + 1) * len(senders) * blocks / (kills + 1))
		quota.Store(share + 30) // so that some are on their way when it dies
		for acked.Load() < share && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		trimmed := func() bool {
			return !strings.Contains(fleet.Load().get(t, "/metrics"), "\nghostlight_fleet_barriers_total 0\n")
		}
		// Every other fleet lives until it has trimmed its journal, however fast
		// the senders are.
		for n%2 == 1 && !trimmed() && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if trimmed() {
			trims++
		}
		fleet.Load().end(t, syscall.SIGKILL)
		fleet.Store(start(t, file))
	}
	quota.Store(math.MaxInt64)
	wg.Wait()
	t.Logf("%d blocks were acknowledged over %d kills, %d of them after the journal was trimmed", acked.Load(), kills, trims)
	if trims == 0 {
		t.Error("no fleet lived long enough to trim its journal: the test shows nothing")
	}
	check(t, fleet.Load(), senders)
	fleet.Load().end(t, syscall.SIGKILL)
	fleet.Store(start(t, file)) // once more, with nobody sending
	check(t, fleet.Load(), senders)
	fleet.Load().end(t, syscall.SIGTERM)
	checkSales(t, data, len(senders), blocks)
}

func check(t *testing.T, c *child, senders []*sender) {
	t.Helper()
	var accepted []struct {
		Venue                    string
		Blocks, Samples, Records int64
	}
	if err := json.Unmarshal([]byte(c.get(t, "/api/fleet/v1/accepted")), &accepted); err != nil {
		t.Fatal(err)
	}
	if len(accepted) != len(senders) {
		t.Fatalf("accepted: %+v", accepted)
	}
	for _, a := range accepted {
		if want := int64(senders[0].blocks); a.Blocks != want || a.Samples != want*samplesPerBlock || a.Records != want {
			t.Errorf("%s: accepted %+v, want %d blocks", a.Venue, a, want)
		}
	}
	// The database may hide rows for some milliseconds while it moves them.
	deadline := time.Now().Add(10 * time.Second)
	for {
		missing := checkSamples(t, c, senders)
		if missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d acknowledged samples are not in the store", missing)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// checkSamples compares what the store holds with what was sent and returns how
// much of it is missing.
func checkSamples(t *testing.T, c *child, senders []*sender) (missing int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(c.get(t, "/api/v1/export?"+url.Values{"match[]": {"crash_test_total"}}.Encode())), "\n")
	for _, s := range senders {
		want := map[int64]int64{}
		for seq := range s.blocks {
			for i := range samplesPerBlock {
				want[s.at(seq+1, i)] = s.value(seq+1, i)
			}
		}
		for _, line := range lines {
			if line == "" {
				continue
			}
			var series struct {
				Metric     map[string]string
				Values     []int64
				Timestamps []int64
			}
			if err := json.Unmarshal([]byte(line), &series); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if series.Metric["venue"] != s.venue {
				continue
			}
			for i, at := range series.Timestamps {
				if v, ok := want[at]; !ok || v != series.Values[i] {
					t.Errorf("%s: at %d the store holds %d, want %d (once)", s.venue, at, series.Values[i], v)
				}
				delete(want, at)
			}
		}
		missing += len(want)
	}
	return missing
}

func checkSales(t *testing.T, data string, venues, blocks int) {
	t.Helper()
	db, err := sqlite.ReadPool(filepath.Join(data, store.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var count, sum sql.NullInt64
	if err := db.QueryRow(`SELECT count(*), sum(amount) FROM outcomes`).Scan(&count, &sum); err != nil {
		t.Fatal(err)
	}
	if want := int64(venues * blocks * (blocks + 1) / 2); count.Int64 != int64(venues*blocks) || sum.Int64 != want {
		t.Errorf("%d sales of %d in all are booked, want %d of %d", count.Int64, sum.Int64, venues*blocks, want)
	}
}
