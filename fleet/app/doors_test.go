package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"ghostlight/internal/crashtest"
)

// door sends one request of soho to a door and returns its status and answer.
func (c *child) door(t *testing.T, path, contentType string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer token-of-soho")
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, &c.stderr)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// write sends one sample of a series by remote write, and expects it to be taken.
func (c *child) write(t *testing.T, name string, at int64, v float64) {
	t.Helper()
	req := prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{{Labels: []prompb.Label{{Name: "__name__", Value: name}}, Samples: []prompb.Sample{{Value: v, Timestamp: at}}}},
		Metadata:   []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: name, Help: "Sent by remote write."}},
	}
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if status, text := c.door(t, "/api/v1/write", "application/x-protobuf", snappy.Encode(nil, msg)); status != http.StatusNoContent {
		t.Fatalf("remote write is answered %d: %s", status, text)
	}
}

// held is what the store holds of a metric: value by time.
func (c *child) held(t *testing.T, name string) map[int64]float64 {
	t.Helper()
	out := map[int64]float64{}
	for line := range strings.Lines(c.get(t, "/api/v1/export?"+url.Values{"match[]": {name}}.Encode())) {
		var series struct {
			Values     []float64
			Timestamps []int64
		}
		if err := json.Unmarshal([]byte(line), &series); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for i, at := range series.Timestamps {
			out[at] = series.Values[i]
		}
	}
	return out
}

// holds waits until the store holds exactly want: the database may hide rows for
// some milliseconds while it moves them.
func (c *child) holds(t *testing.T, name string, want map[int64]float64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		diff := cmp.Diff(want, c.held(t, name))
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s (-want +got):\n%s", name, diff)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func configure(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.yaml")
	if err := os.WriteFile(file, append(fmt.Appendf(nil, fleetYAML, filepath.Join(dir, "data")), more...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDoorsKeepWhatTheyAnswered kills the fleet right after an answer, again and
// again; afterwards every sample that was answered for is there, exactly, its
// metadata too, and the agents' books are empty.
func TestDoorsKeepWhatTheyAnswered(t *testing.T) {
	file := configure(t, "")
	fleet := start(t, file)
	first := time.Now().Add(-time.Hour).UnixMilli()
	want := map[int64]float64{}
	for kill := range crashtest.Kills(t, 4) {
		for i := range 5 {
			at := first + int64(kill*1000+i)
			want[at] = float64(1<<52 + kill*10 + i)
			fleet.write(t, "door_total", at, want[at])
		}
		fleet.end(t, syscall.SIGKILL)
		fleet = start(t, file)
	}
	fleet.holds(t, "door_total", want)
	if meta := fleet.get(t, "/api/v1/metadata?metric=door_total"); !strings.Contains(meta, "Sent by remote write.") || !strings.Contains(meta, "counter") {
		t.Errorf("metadata: %s", meta)
	}
	if books := strings.TrimSpace(fleet.get(t, "/api/fleet/v1/accepted")); books != "[]" {
		t.Errorf("the agents' books: %s", books)
	}
	var accepted []struct {
		Node, Origin, Lane string
		Samples            int64
	}
	if err := json.Unmarshal([]byte(fleet.get(t, "/api/fleet/v1/accepted?origin=all")), &accepted); err != nil || len(accepted) != 1 {
		t.Fatalf("accepted: %+v, %v", accepted, err)
	}
	if a := accepted[0]; a.Node != "soho-1" || a.Origin != "remote_write" || a.Lane != "detail" || a.Samples != int64(len(want)) {
		t.Errorf("accepted: %+v, want %d samples", a, len(want))
	}
	fleet.end(t, syscall.SIGTERM)
}

// A door and the agent of one node may send the same series. Both are counted, each
// by its own; of one millisecond the store keeps the larger value, whoever sent it
// and in whichever order.
func TestDoorAndAgentMayMeet(t *testing.T) {
	fleet := start(t, configure(t, ""))
	var pointer atomic.Pointer[child]
	pointer.Store(fleet)
	agent := &sender{venue: "soho", blocks: 1, start: time.Now().Add(-time.Hour).UnixMilli(), fleet: &pointer, acked: &atomic.Int64{}}
	fleet.write(t, "crash_test_total", agent.at(1, 0), 5)                             // below the agent's
	fleet.write(t, "crash_test_total", agent.at(1, 1), float64(agent.value(1, 1)+10)) // above it
	if !agent.post(t, 1) {
		t.Fatal("the agent's block was not taken")
	}
	fleet.write(t, "crash_test_total", agent.at(1, 2), 5)
	fleet.holds(t, "crash_test_total", map[int64]float64{
		agent.at(1, 0): float64(agent.value(1, 0)), agent.at(1, 1): float64(agent.value(1, 1) + 10), agent.at(1, 2): float64(agent.value(1, 2)),
	})
	var accepted []struct {
		Origin  string
		Samples int64
	}
	if err := json.Unmarshal([]byte(fleet.get(t, "/api/fleet/v1/accepted?origin=all")), &accepted); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]struct {
		Origin  string
		Samples int64
	}{{"agent", samplesPerBlock}, {"remote_write", 3}}, accepted); d != "" {
		t.Errorf("accepted (-want +got):\n%s", d)
	}
	fleet.end(t, syscall.SIGTERM)
}

// A node over its limit is told so, and the node's view tells it too.
func TestOverflowIsShown(t *testing.T) {
	fleet := start(t, configure(t, "limits: {series_per_block: 2, node: {series: 2}}\notlp: {grpc: \"127.0.0.1:0\"}\n"))
	at := time.Now().UnixMilli()
	fleet.write(t, "a_total", at, 1)
	fleet.write(t, "b_total", at, 1)
	body := []byte(fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"c","gauge":{"dataPoints":[{"timeUnixNano":"%d000000","asDouble":1}]}}]}]}]}`, at))
	if status, text := fleet.door(t, "/v1/metrics", "application/json", body); status != http.StatusTooManyRequests || !strings.Contains(text, "sends more than 2 series") {
		t.Errorf("the third series is answered %d: %s", status, text)
	}
	if nodes := fleet.get(t, "/api/fleet/v1/nodes"); !strings.Contains(nodes, `"overflow":{"series":1}`) {
		t.Errorf("nodes: %s", nodes)
	}
	if page := fleet.get(t, "/venues/soho"); !strings.Contains(page, "soho-1 is over its limit of series") {
		t.Error("the venue's page does not tell of it")
	}
	if metrics := fleet.get(t, "/metrics"); !strings.Contains(metrics, `ghostlight_fleet_node_overflow_total{node="soho-1",reason="series",region="uk",venue="soho"} 1`) {
		t.Error("the metrics do not tell of it")
	}
	fleet.end(t, syscall.SIGTERM)
}
