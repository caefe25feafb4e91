package edgecore

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"ghostlight/edgecore/admin"
	"ghostlight/edgecore/cache"
	"ghostlight/edgecore/claim"
	"ghostlight/edgecore/httpapi"
	"ghostlight/edgecore/payments"
	"ghostlight/edgecore/relay"
	"ghostlight/edgecore/settlement"
	"ghostlight/internal/daemon"
)

// nodeRole is a till at a venue.
type nodeRole struct {
	app    *App
	ledger *payments.Ledger
	cache  *cache.Cache
	relay  *relay.Relay
	sender *settlement.Sender
	claims *claim.Verifier
}

func (a *App) openNode(ctx context.Context) (r role, err error) {
	n := &nodeRole{app: a}
	n.ledger, err = payments.Open(ctx, payments.Options{Path: filepath.Join(a.cfg.DataDir, "ledger.db"), Node: a.cfg.Name, Now: a.now, Log: a.log})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.ledger.Close() //nolint:errcheck // the cause is what matters
		}
	}()
	n.claims, err = claim.NewVerifier([]byte(a.cfg.SyntheticKey), a.now)
	if err != nil {
		return nil, err
	}
	client := hubClient()
	n.cache, err = cache.New(cache.Options{
		Dir: filepath.Join(a.cfg.DataDir, "cache"), Origin: cache.NewHub(a.cfg.Hub.URL+"/hub/v1", client),
		TTL: a.cfg.Cache.TTL.D(), MaxStale: a.cfg.Cache.MaxAgeStale.D(), VerifyInterval: a.cfg.Cache.VerifyInterval.D(), Now: a.now, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	n.relay, err = relay.New(relay.Options{Connections: relay.DefaultConnections, Now: a.now, Log: a.log})
	if err != nil {
		return nil, err
	}
	n.sender, err = settlement.NewSender(settlement.Options{
		URL: a.cfg.Hub.URL, Token: a.cfg.Hub.Token, Node: a.cfg.Name, Ledger: n.ledger, Client: client, Log: a.log,
	})
	return n, err
}

// hubClient keeps few connections, and none for long that leads nowhere.
func hubClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: 5 * time.Second,
	}}
}

// run implements role. What takes requests stops first, then what serves them,
// and the ledger last.
func (n *nodeRole) run(ctx context.Context) error {
	defer n.ledger.Close() //nolint:errcheck // everything acknowledged is on disk
	public, adminAPI, err := n.doors(ctx)
	if err != nil {
		return err
	}
	ledgerCtx, stopLedger := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLedger()
	ledgerDone := make(chan error, 1)
	serveCtx, stopServing := context.WithCancel(ctx)
	defer stopServing()
	go func() {
		ledgerDone <- n.ledger.Run(ledgerCtx)
		stopServing()
	}()
	err = together(serveCtx,
		func(ctx context.Context) error { return httpapi.Serve(ctx, n.app.public, public, n.app.log) },
		func(ctx context.Context) error { return httpapi.Serve(ctx, n.app.admin, adminAPI, n.app.log) },
		n.relay.Run, n.cache.Run, n.sender.Run)
	stopLedger()
	return errors.Join(err, <-ledgerDone)
}

// doors builds the handlers of both listeners.
func (n *nodeRole) doors(ctx context.Context) (public, adminAPI http.Handler, err error) {
	reg := n.app.registry
	till := payments.NewAPI(n.ledger, storefront{n.cache}, n.app.log)
	reg.MustRegister(payments.NewCollector(n.ledger, n.app.cfg.Currency))
	reg.MustRegister(till.Collectors()...)
	reg.MustRegister(n.cache.Collectors()...)
	reg.MustRegister(n.relay.Collectors()...)
	reg.MustRegister(n.sender.Collectors()...)

	rt := n.app.router()
	rt.Use(n.claims.Middleware)
	till.Routes(rt)
	storefront{n.cache}.routes(rt)
	rt.HandleStream("GET /v1/relay", n.relay)
	rt.HandleFunc("GET /healthz", admin.Healthy)
	rt.HandleFunc("GET /readyz", n.ready)

	art := n.app.router()
	api, err := admin.New(admin.Options{
		Token: n.app.cfg.Admin.Token, Ledger: n.ledger, Cache: n.cache, Status: n.status, Metrics: n.app.metricsHandler(), Stop: ctx, Log: n.app.log,
	})
	if err != nil {
		return nil, nil, err
	}
	api.Routes(art)
	return rt, art, nil
}

// ready answers whether a sale could be committed.
func (n *nodeRole) ready(w http.ResponseWriter, _ *http.Request) {
	if err := n.ledger.Writable(); err != nil {
		httpapi.WriteError(w, httpapi.Errorf(http.StatusServiceUnavailable, "The ledger cannot be written: %v.", err))
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// Status is what /admin/status answers.
type Status struct {
	Name             string           `json:"name"`
	Role             string           `json:"role"`
	Version          string           `json:"version"`
	StartMS          int64            `json:"start_ms"` // Unix milliseconds
	HubReachable     bool             `json:"hub_reachable"`
	LedgerError      string           `json:"ledger_error,omitempty"` // why it cannot be written
	RelayConnections int              `json:"relay_connections"`
	Ledger           payments.Summary `json:"ledger"`
}

func (n *nodeRole) status() any {
	s := Status{
		Name: n.app.cfg.Name, Role: n.app.cfg.Role, Version: daemon.Version, StartMS: n.app.start.UnixMilli(),
		HubReachable: n.sender.Reachable(), RelayConnections: n.relay.Connections(), Ledger: n.ledger.Summary(),
	}
	if err := n.ledger.Writable(); err != nil {
		s.LedgerError = err.Error()
	}
	return s
}
