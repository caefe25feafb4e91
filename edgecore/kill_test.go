package edgecore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ghostlight/edgecore/payments"
	"ghostlight/internal/crashtest"
)

// Scale of the kill test.
const (
	shortKills   = 5
	tills        = 8  // guests who buy at once
	salesPerKill = 25 // acknowledged at least between two kills
)

// program is the real binary as a child process, started again after each kill.
type program struct {
	t      *testing.T
	bin    string
	config string
	g      *guest
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.bin, "--config", p.config)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "readiness", func() bool {
		r, err := p.g.send("GET", p.g.base+"/readyz", "", nil)
		return err == nil && r.Status == http.StatusOK
	})
}

func (p *program) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait() //nolint:errcheck // it was killed
}

// sale is one acknowledged payment with what is needed to ask again.
type sale struct {
	url, idem string
	body      []byte
	paid      paid
}

// shopper buys one order after the other, trying again with the same key through
// every kill until it is answered.
type shopper struct {
	g     *guest
	name  string
	sku   string
	stop  *atomic.Bool
	acked *atomic.Int64
	sales []sale
}

// insist asks until there is an answer that is not 503.
func (s *shopper) insist(url, idem string, body, out any) (response, error) {
	limit := time.Now().Add(deadline)
	for time.Now().Before(limit) {
		r, err := s.g.send("POST", url, idem, body)
		if err != nil || r.Status == http.StatusServiceUnavailable {
			time.Sleep(5 * time.Millisecond) // the process is being started again
			continue
		}
		if r.Status != http.StatusCreated {
			return r, fmt.Errorf("%s %s: %d %s", url, idem, r.Status, r.Body)
		}
		return r, json.Unmarshal(r.Body, out)
	}
	return response{}, fmt.Errorf("%s %s: no answer", url, idem)
}

func (s *shopper) shop() error {
	var ticket struct{ Ticket string }
	var in struct {
		ID string `json:"checkin_id"`
	}
	if _, err := s.insist(s.g.base+"/v1/tickets", "", map[string]any{}, &ticket); err != nil {
		return err
	}
	if _, err := s.insist(s.g.base+"/v1/checkins", s.name, map[string]any{"ticket": ticket.Ticket}, &in); err != nil {
		return err
	}
	for i := 0; !s.stop.Load(); i++ {
		var order struct {
			ID string `json:"order_id"`
		}
		key := fmt.Sprintf("%s-%d", s.name, i)
		body := map[string]any{"checkin_id": in.ID, "items": []map[string]any{{"sku": s.sku, "quantity": 1 + i%3}}}
		if _, err := s.insist(s.g.base+"/v1/orders", key, body, &order); err != nil {
			return err
		}
		sl := sale{url: s.g.base + "/v1/orders/" + order.ID + "/payments", idem: key}
		r, err := s.insist(sl.url, sl.idem, map[string]any{"method": "card", "token": "tok_ok"}, &sl.paid)
		if err != nil {
			return err
		}
		sl.body = r.Body
		s.sales = append(s.sales, sl)
		s.acked.Add(1)
	}
	return nil
}

// TestKillLosesNothing kills the real program with -9 in the middle of payments,
// again and again, while guests retry; then ledger, outcomes, counters and hub
// must all tell the same story as the guests.
func TestKillLosesNothing(t *testing.T) {
	hub, _ := run(t, hubConfig(t.TempDir(), "127.0.0.1:0"))
	dir := t.TempDir()
	addr, adminAddr := crashtest.FreeAddr(t), crashtest.FreeAddr(t)
	config := filepath.Join(dir, "edgecore.yaml")
	doc := fmt.Sprintf("role: node\nname: soho-1\nlisten: %s\nadmin: {listen: %q, token: %s}\ndata_dir: %s\nhub: {url: %q, token: %s}\nsynthetic_key: %s\n",
		addr, adminAddr, adminToken, filepath.Join(dir, "data"), "http://"+hub.Addr(), hubToken, syntheticKey)
	if err := os.WriteFile(config, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGuest(addr, adminAddr)
	p := &program{t: t, bin: crashtest.Build(t, "ghostlight-edgecore"), config: config, g: g}
	p.start()
	defer func() {
		p.kill()
		if t.Failed() {
			t.Logf("the program said:\n%s", p.stderr.String())
		}
	}()
	g.buy(t, "first") // prices are known from here on

	var stop atomic.Bool
	var acked atomic.Int64
	shoppers := make([]*shopper, tills)
	errs := make([]error, tills)
	var wg sync.WaitGroup
	for i := range shoppers {
		shoppers[i] = &shopper{g: newGuest(addr, adminAddr), name: fmt.Sprint("guest", i), sku: "ticket-001", stop: &stop, acked: &acked}
		wg.Go(func() { errs[i] = shoppers[i].shop() })
	}
	kills := crashtest.Kills(t, shortKills)
	for range kills {
		mark := acked.Load() + salesPerKill + rand.Int64N(salesPerKill)
		eventually(t, "sales", func() bool { return acked.Load() >= mark })
		p.kill()
		p.start()
	}
	stop.Store(true)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var sales []sale
	for _, s := range shoppers {
		sales = append(sales, s.sales...)
	}
	t.Logf("%d sales through %d kills", len(sales), kills)
	checkOutcomes(t, g, sales)
	for _, s := range sales {
		r, err := g.send("POST", s.url, s.idem, map[string]any{"method": "card", "token": "tok_ok"})
		if err != nil || r.Status != http.StatusCreated || !bytes.Equal(r.Body, s.body) {
			t.Fatalf("asked again: %d %s, %v; the first answer was %s", r.Status, r.Body, err, s.body)
		}
	}
	eventually(t, "settlement", func() bool { return g.summary(t).Pending == 0 })
	s, h := g.summary(t), readHub(t, hub.Addr())
	if s.Sales != int64(len(sales))+1 || h.Sales != s.Sales || h.SalesMinor != s.SalesMinor {
		t.Errorf("guests %d and one, node %+v, hub %+v", len(sales), s, h)
	}
	if got := g.metric(t, `edgecore_payments_total{method="card",result="captured"}`); got != fmt.Sprint(s.Sales) {
		t.Errorf("counter %s, ledger %d", got, s.Sales)
	}
	if rss := peakRSS(t, p.cmd.Process.Pid); rss > 40<<20 {
		t.Errorf("peak memory %d bytes", rss)
	}
}

// checkOutcomes holds every acknowledged payment against exactly one outcome.
func checkOutcomes(t *testing.T, g *guest, sales []sale) {
	t.Helper()
	told := map[string]int64{}
	for _, o := range g.outcomes(t) {
		if o.Kind == payments.KindPayment && o.Good && o.Reason == "" {
			if _, twice := told[o.Subject]; twice {
				t.Errorf("payment %s has two outcomes", o.Subject)
			}
			told[o.Subject] = o.AmountMinor
		}
	}
	if len(told) != len(sales)+1 {
		t.Errorf("%d outcomes of sales, %d sales and one", len(told), len(sales))
	}
	for _, s := range sales {
		if amount, ok := told[s.paid.PaymentID]; !ok || amount != s.paid.AmountMinor {
			t.Errorf("payment %s of %d: outcome %d, %v", s.paid.PaymentID, s.paid.AmountMinor, amount, ok)
		}
	}
}

// peakRSS is the most memory a process has used, in bytes.
func peakRSS(t *testing.T, pid int) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no VmHWM in the process's status")
	return 0
}
