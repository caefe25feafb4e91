package app

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
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

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
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
			// Often, so that kills meet every stage of it.
			TrimEvery: 100 * time.Millisecond, BarrierAge: 400 * time.Millisecond,
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

// A sender is a node that sends each block until it is acknowledged, and now and
// then once more.
type sender struct {
	venue  string
	blocks int
	start  int64 // Unix milliseconds of the first sample
	fleet  *atomic.Pointer[child]
	acked  *atomic.Int64
}

const samplesPerBlock = 3

// value is an exact integer of up to 53 bits, another for each sample.
func (s *sender) value(seq, i int) int64 {
	return 1<<52 + int64(len(s.venue))<<40 + int64(seq)*samplesPerBlock + int64(i)
}

func (s *sender) at(seq, i int) int64 { return s.start + int64(seq)*1000 + int64(i)*100 }

func (s *sender) block(t *testing.T, seq int) []byte {
	series := delta.Series{
		Labels: []delta.Label{{Name: "__name__", Value: "crash_test_total"}},
		Meta:   delta.Meta{Type: delta.Counter, Help: "A counter."},
	}
	for i := range samplesPerBlock {
		series.Samples = append(series.Samples, delta.Sample{Time: s.at(seq, i), Value: float64(s.value(seq, i))})
	}
	body := fmt.Sprintf(`{"ledger":"L","outcomes":[{"seq":%d,"time_ms":%d,"kind":"payment","good":true,"amount_minor":%d,"currency":"EUR"}]}`, seq, s.at(seq, 0), seq)
	b := delta.Batch{Series: []delta.Series{series}, Records: []delta.Record{{Kind: "edge.outcomes", Key: fmt.Sprintf("L:%d-%d", seq, seq), Time: s.at(seq, 0), Body: []byte(body)}}}
	payload, err := delta.Encode(nil, b)
	if err != nil {
		t.Error(err)
	}
	lo, hi := b.TimeRange()
	return buffer.Seal(buffer.Header{
		Kind: buffer.SelfContained, Lane: buffer.Revenue, Session: 77, Seq: buffer.Seq(seq), MinTime: lo, MaxTime: hi, Samples: samplesPerBlock, Records: 1,
	}, payload)
}

func (s *sender) run(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	deadline := time.Now().Add(time.Minute)
	for _, seq := range rng.Perm(s.blocks) {
		body := s.block(t, seq+1)
		for tries := 1 + rng.IntN(2); tries > 0; {
			if time.Now().After(deadline) {
				t.Errorf("%s: block %d was not acknowledged in time", s.venue, seq+1)
				return
			}
			if s.post(body) {
				tries--
			} else {
				time.Sleep(10 * time.Millisecond)
			}
		}
		s.acked.Add(1)
	}
}

// post reports whether the block was acknowledged.
func (s *sender) post(body []byte) bool {
	req, err := http.NewRequest(http.MethodPost, s.fleet.Load().url+wire.BlocksPath, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer token-of-"+s.venue)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	var ack wire.Ack
	return res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(&ack) == nil && len(ack.Ranges) == 1
}

// TestNothingAcknowledgedIsLost kills the fleet again and again while two nodes
// send; afterwards every block counts once and every sample is there, exactly.
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
	var acked atomic.Int64
	fleet.Store(start(t, file))
	first := time.Now().Add(-time.Hour).UnixMilli()
	senders := []*sender{
		{"soho", blocks, first, &fleet, &acked},
		{"camden", blocks, first, &fleet, &acked},
	}
	var wg sync.WaitGroup
	for i, s := range senders {
		wg.Go(func() { s.run(t, uint64(i)) })
	}
	deadline := time.Now().Add(time.Duration(kills) * 10 * time.Second)
	trims := 0
	for n := range kills {
		for acked.Load() < int64((n+1)*len(senders)*blocks/(kills+1)) && time.Now().Before(deadline) {
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
