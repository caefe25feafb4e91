package edgecore

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"ghostlight/edgecore/cache"
	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/httpapi"
)

// catalogKey names the whole catalogue in the cache, and with a SKU below it one
// item.
const catalogKey = "catalog"

// A storefront shows what is for sale, read through the cache.
type storefront struct{ cache *cache.Cache }

// Catalog implements [payments.Catalog].
func (s storefront) Catalog(ctx context.Context) (catalog.Catalog, error) {
	obj, _, err := s.cache.Get(ctx, catalogKey)
	if err != nil {
		return catalog.Catalog{}, err
	}
	return catalog.Decode(obj.Body)
}

func (s storefront) routes(rt *httpapi.Router) {
	rt.HandleFunc("GET /v1/catalog", func(w http.ResponseWriter, r *http.Request) {
		obj, from, err := s.cache.Get(r.Context(), catalogKey)
		show(w, obj, from, err, "The catalogue")
	})
	rt.HandleFunc("GET /v1/catalog/{sku}", func(w http.ResponseWriter, r *http.Request) {
		obj, from, err := s.item(r.Context(), r.PathValue("sku"))
		show(w, obj, from, err, "The item")
	})
}

// item reads one item; while the hub is away one that was never asked for is
// taken from the copy of the whole catalogue.
func (s storefront) item(ctx context.Context, sku string) (cache.Object, cache.Result, error) {
	if !catalog.ValidSKU(sku) {
		return cache.Object{}, "", cache.ErrNotFound
	}
	obj, from, err := s.cache.Get(ctx, catalogKey+"/"+sku)
	if !errors.Is(err, cache.ErrUnavailable) {
		return obj, from, err
	}
	all, cerr := s.Catalog(ctx)
	if cerr != nil {
		return obj, from, err
	}
	it, ok := all.Find(sku)
	if !ok {
		return cache.Object{}, "", cache.ErrNotFound
	}
	body, merr := json.Marshal(it)
	if merr != nil {
		return obj, from, err
	}
	return cache.Object{ContentType: "application/json", Body: body}, cache.Stale, nil
}

// show answers with an object as the hub served it.
func show(w http.ResponseWriter, obj cache.Object, from cache.Result, err error, what string) {
	switch {
	case errors.Is(err, cache.ErrNotFound):
		httpapi.WriteError(w, httpapi.Errorf(http.StatusNotFound, "%s is not for sale here.", what))
		return
	case err != nil:
		httpapi.WriteError(w, httpapi.Errorf(http.StatusServiceUnavailable, "%s is not known yet: the hub is away and no copy is held.", what))
		return
	}
	w.Header().Set("X-Cache", string(from))
	w.Header().Set("Content-Type", "application/json")
	if obj.ETag != "" {
		w.Header().Set("ETag", obj.ETag)
	}
	w.Write(obj.Body) //nolint:errcheck // the guest's connection is the guest's
}
