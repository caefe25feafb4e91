package edgecore

import (
	"context"
	"path/filepath"

	"ghostlight/edgecore/admin"
	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/httpapi"
	"ghostlight/edgecore/hub"
)

// hubRole is the regional hub: one listener for everything.
type hubRole struct {
	app    *App
	store  *hub.Store
	router *httpapi.Router
}

func (a *App) openHub(ctx context.Context) (role, error) {
	store, err := hub.OpenStore(ctx, filepath.Join(a.cfg.DataDir, "hub.db"), a.now)
	if err != nil {
		return nil, err
	}
	h, err := hub.New(store, catalog.Generate(a.cfg.Catalog.Seed, a.cfg.Catalog.Items, a.cfg.Currency), a.cfg.Hub.Token)
	if err != nil {
		store.Close()
		return nil, err
	}
	a.registry.MustRegister(h.Collectors()...)
	rt := a.router()
	h.Routes(rt)
	rt.HandleFunc("GET /healthz", admin.Healthy)
	rt.Handle("GET /metrics", a.metricsHandler())
	return &hubRole{app: a, store: store, router: rt}, nil
}

// run implements role.
func (h *hubRole) run(ctx context.Context) error {
	defer h.store.Close() //nolint:errcheck // everything acknowledged is on disk
	return httpapi.Serve(ctx, h.app.public, h.router, h.app.log)
}
