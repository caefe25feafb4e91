// Package hub is the regional side of edgecore: the authority on what is sold,
// and the ledger that receives what nodes have sold.
//
// It guarantees that an entry it has accepted is on disk and is counted once,
// however often it is sent, and that the same number with another content is
// refused. It never changes or deletes an entry.
package hub

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/httpapi"
	"ghostlight/edgecore/settlement"
	"ghostlight/internal/sqlite"
)

// A document is a part of the catalogue, ready to be served.
type document struct {
	body   []byte
	etag   string
	digest string
}

func newDocument(v any) (document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return document{}, fmt.Errorf("encode catalogue: %w", err)
	}
	sum := sha256.Sum256(body)
	return document{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, digest: "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"}, nil
}

// A Hub answers nodes.
type Hub struct {
	store    *Store
	token    string
	all      document
	items    map[string]document
	requests *prometheus.CounterVec
}

// New returns a hub that sells c and keeps accounts in store; nodes settle with
// token.
func New(store *Store, c catalog.Catalog, token string) (*Hub, error) {
	if token == "" {
		return nil, errors.New("hub needs a token for its nodes")
	}
	h := &Hub{store: store, token: token, items: make(map[string]document, len(c.Items)), requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "edgecore_hub_catalog_requests_total", Help: "Requests for the catalogue or an item of it, by result.",
	}, []string{"result"})}
	var err error
	if h.all, err = newDocument(c); err != nil {
		return nil, err
	}
	for _, it := range c.Items {
		if h.items[it.SKU], err = newDocument(it); err != nil {
			return nil, err
		}
	}
	for _, result := range []string{"ok", "not_modified", "not_found"} {
		h.requests.WithLabelValues(result)
	}
	return h, nil
}

// Routes adds the hub's doors to rt.
func (h *Hub) Routes(rt *httpapi.Router) {
	rt.HandleFunc("GET /hub/v1/catalog", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, h.all, true) })
	rt.HandleFunc("GET /hub/v1/catalog/{sku}", func(w http.ResponseWriter, r *http.Request) {
		doc, ok := h.items[r.PathValue("sku")]
		h.serve(w, r, doc, ok)
	})
	rt.Handle("POST "+settlement.Path, httpapi.Bearer(h.token, http.HandlerFunc(h.settle)))
	rt.HandleFunc("GET /hub/v1/ledger", h.ledger)
}

func (h *Hub) serve(w http.ResponseWriter, r *http.Request, doc document, found bool) {
	switch {
	case !found:
		h.requests.WithLabelValues("not_found").Inc()
		httpapi.WriteError(w, httpapi.Errorf(http.StatusNotFound, "The catalogue has no item %q.", r.PathValue("sku")))
		return
	case r.Header.Get("If-None-Match") == doc.etag:
		h.requests.WithLabelValues("not_modified").Inc()
		w.Header().Set("ETag", doc.etag)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.requests.WithLabelValues("ok").Inc()
	w.Header().Set("ETag", doc.etag)
	w.Header().Set("Content-Digest", doc.digest)
	w.Header().Set("Content-Type", "application/json")
	w.Write(doc.body) //nolint:errcheck // the node notices
}

func (h *Hub) settle(w http.ResponseWriter, r *http.Request) {
	var req settlement.Request
	err := httpapi.ReadJSON(w, r, settlement.MaxBodyBytes, &req)
	if err == nil {
		if verr := req.Validate(); verr != nil {
			err = httpapi.Errorf(http.StatusBadRequest, "The settlement is not valid: %v.", verr)
		}
	}
	if err != nil {
		httpapi.WriteError(w, err)
		return
	}
	through, err := h.store.Accept(r.Context(), req)
	switch {
	case errors.Is(err, ErrConflict):
		err = httpapi.Errorf(http.StatusConflict, "Refused: %v. Two nodes may be running from copies of one ledger.", err)
	case sqlite.IsFull(err):
		err = httpapi.Errorf(http.StatusServiceUnavailable, "The hub's disk is full; nothing was accepted.")
	case err != nil:
		err = httpapi.Errorf(http.StatusServiceUnavailable, "The hub's ledger cannot be written; nothing was accepted.")
	}
	if err != nil {
		httpapi.WriteError(w, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, settlement.Reply{AcceptedThrough: through})
}

// Sales sums up one node or all of them. Amounts of several currencies are added
// as they are; the metrics keep currencies apart.
type Sales struct {
	Sales        int64 `json:"sales"`
	SalesMinor   int64 `json:"sales_minor"`
	Refunds      int64 `json:"refunds"`
	RefundsMinor int64 `json:"refunds_minor"`
}

func (s *Sales) add(kind string, m Money) {
	if kind == settlement.Sale {
		s.Sales += m.Count
		s.SalesMinor += m.AmountMinor
		return
	}
	s.Refunds += m.Count
	s.RefundsMinor += m.AmountMinor
}

func (h *Hub) ledger(w http.ResponseWriter, _ *http.Request) {
	out := struct {
		Sales
		Nodes map[string]*Sales `json:"nodes"`
	}{Nodes: map[string]*Sales{}}
	for a, m := range h.store.snapshot() {
		if out.Nodes[a.node] == nil {
			out.Nodes[a.node] = &Sales{}
		}
		out.Nodes[a.node].add(a.kind, m)
		out.add(a.kind, m)
	}
	httpapi.WriteJSON(w, http.StatusOK, out)
}
