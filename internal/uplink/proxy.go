package uplink

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// maxRepeat bounds the body of a request that is sent twice; a longer one is
// sent once.
const maxRepeat = 16 << 20

// proxy passes requests to the backend and applies the faults that work on them.
type proxy struct {
	faults  *faults
	counts  *counters
	onwards versions
	reverse *httputil.ReverseProxy
	gate    gate
}

func newProxy(backend string, f *faults, c *counters) *proxy {
	p := &proxy{faults: f, counts: c, onwards: newVersions()}
	target := &url.URL{Scheme: "http", Host: backend}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport:     p.onwards,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, _ error) {
			if r.Context().Err() == nil {
				c.backendFailed.Add(1)
			}
			panic(http.ErrAbortHandler) // the client sees its connection break
		},
	}
	return p
}

// serve answers on ln until ctx ends.
func (p *proxy) serve(ctx context.Context, ln net.Listener) {
	srv := &http.Server{
		Handler:     p,
		Protocols:   both(),
		HTTP2:       smallWindows(),
		ErrorLog:    log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	srv.Serve(ln) //nolint:errcheck // ends when ctx does
	p.onwards.close()
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isStream(r) {
		p.stream(w, r)
		return
	}
	if f, ok := p.faults.request(Reorder); ok {
		p.hold(r.Context(), f.Hold)
	}
	if _, ok := p.faults.request(Duplicate); ok && r.Header.Get("Upgrade") == "" {
		p.first(r)
	}
	p.counts.requests.Add(1)
	p.reverse.ServeHTTP(w, r)
	p.gate.pass()
}

// hold keeps a request back until a later one has been answered. While one is
// held, those after it pass.
func (p *proxy) hold(ctx context.Context, atMost time.Duration) {
	passed, ok := p.gate.enter()
	if !ok {
		return
	}
	defer p.gate.leave()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-passed:
		p.counts.reordered.Add(1)
	case <-timer.C:
		p.counts.held.Add(1)
	case <-ctx.Done():
	}
}

// first sends a copy of the request ahead of it and throws the answer away.
func (p *proxy) first(r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRepeat+1))
	whole := err == nil && len(body) <= maxRepeat
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	if !whole {
		return
	}
	twin := r.Clone(r.Context())
	twin.Body = io.NopCloser(bytes.NewReader(body))
	p.counts.duplicated.Add(1)
	defer func() {
		// The copy's failure is not the client's: only the proxy's own abort
		// may be swallowed here.
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic value
			panic(v)
		}
	}()
	p.reverse.ServeHTTP(discard{http.Header{}}, twin)
}

// discard is a ResponseWriter nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
func (d discard) Flush()                      {}

// gate lets one request wait for a later one.
type gate struct {
	mu      sync.Mutex    // guards waiting
	waiting chan struct{} // closed when a request passed; nil when none waits
	opened  bool
}

func (g *gate) enter() (<-chan struct{}, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting != nil {
		return nil, false
	}
	g.waiting, g.opened = make(chan struct{}), false
	return g.waiting, true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = nil
}

func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting != nil && !g.opened {
		close(g.waiting)
		g.opened = true
	}
}
