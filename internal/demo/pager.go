package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"ghostlight/internal/daemon"
)

// maxPage bounds what is read of one message of the centre.
const maxPage = 1 << 20

// A pager is the telephone of whoever is on call: it takes what the centre tells
// people, as any receiver of Alertmanager's webhook does, and says it.
type pager struct {
	tell func(format string, args ...any)

	mu   sync.Mutex
	told map[string]string // what was last said of an alert, by fingerprint; guarded by mu
}

// pagerMessage is what the demo reads of Alertmanager's webhook, version 4.
type pagerMessage struct {
	Alerts []struct {
		Status      string            `json:"status"` // firing or resolved
		Annotations map[string]string `json:"annotations"`
		Fingerprint string            `json:"fingerprint"`
	} `json:"alerts"`
}

func newPager(tell func(format string, args ...any)) *pager {
	return &pager{tell: tell, told: map[string]string{}}
}

// servePager answers the centre at a port until ctx ends.
func (d *demo) servePager(ctx context.Context) (serve func() error, err error) {
	ln, err := net.Listen("tcp", addr(d.layout.pagerPort()))
	if err != nil {
		return nil, fmt.Errorf("open the pager: %w", err)
	}
	return func() error { return daemon.Serve(ctx, ln, newPager(d.tell)) }, nil
}

// ServeHTTP takes one message. A page comes at least once; it is said once.
func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m pagerMessage
	if err := json.NewDecoder(io.LimitReader(r.Body, maxPage)).Decode(&m); err != nil {
		http.Error(w, "that is no message of Alertmanager's webhook: "+err.Error(), http.StatusBadRequest)
		return
	}
	for _, a := range m.Alerts {
		summary := strings.TrimSuffix(a.Annotations["summary"], ".")
		if !p.news(a.Fingerprint, a.Status+summary) {
			continue
		}
		switch {
		case a.Annotations["late"] != "":
			p.tell("Message to whoever is on call, of what nobody could know before: %s.", summary)
		case a.Status == "firing":
			p.tell("Page to whoever is on call: %s.", summary)
		default:
			p.tell("Page is over: %s.", summary)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// news reports whether something else was said of the alert last.
func (p *pager) news(fingerprint, says string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told[fingerprint] == says {
		return false
	}
	p.told[fingerprint] = says
	return true
}
