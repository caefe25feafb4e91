package payments

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/claim"
	"ghostlight/edgecore/httpapi"
	"ghostlight/internal/sqlite"
)

// Catalog tells what is for sale, and at what price.
type Catalog interface {
	// Catalog returns the whole catalogue. An error means that prices are not
	// known at the moment.
	Catalog(ctx context.Context) (catalog.Catalog, error)
}

// Bounds of an order.
const (
	maxLines    = 50
	maxQuantity = 100
)

// API is the till's HTTP door.
type API struct {
	ledger   *Ledger
	catalog  Catalog
	log      *slog.Logger
	duration prometheus.Histogram
	tokens   *prometheus.CounterVec
}

// NewAPI returns the till of l.
func NewAPI(l *Ledger, c Catalog, log *slog.Logger) *API {
	a := &API{
		ledger: l, catalog: c, log: log,
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "edgecore_payment_duration_seconds", Help: "Time from a payment's request to its answer, fsync included.",
			Buckets: []float64{0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5},
		}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edgecore_tokens_validated_total", Help: "Tickets and receipts whose signature was checked.",
		}, []string{"result"}),
	}
	for _, result := range []string{ResultOK, ResultRejected} {
		a.tokens.WithLabelValues(result)
	}
	return a
}

// Collectors returns the metrics of the door.
func (a *API) Collectors() []prometheus.Collector {
	return []prometheus.Collector{a.duration, a.tokens}
}

// Routes adds the till's doors to rt.
func (a *API) Routes(rt *httpapi.Router) {
	rt.HandleFunc("POST /v1/tickets", a.issueTicket)
	rt.HandleFunc("POST /v1/checkins", a.checkIn)
	rt.HandleFunc("POST /v1/orders", a.order)
	rt.HandleFunc("POST /v1/orders/{id}/payments", a.pay)
	rt.HandleFunc("GET /v1/payments/{id}", a.payment)
	rt.HandleFunc("POST /v1/payments/{id}/refunds", a.refund)
	rt.HandleFunc("POST /v1/receipts/verify", a.verifyReceipt)
}

func (a *API) issueTicket(w http.ResponseWriter, r *http.Request) {
	if err := httpapi.ReadJSON(w, r, httpapi.MaxBody, &struct{}{}); err != nil {
		httpapi.WriteError(w, err)
		return
	}
	id, err := newID()
	if err != nil {
		a.fail(w, err)
		return
	}
	ticket, err := a.ledger.signer.ticket(id, claim.Synthetic(r.Context()))
	if err != nil {
		a.fail(w, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusCreated, map[string]string{"ticket_id": id, "ticket": ticket})
}

func (a *API) checkIn(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Ticket string `json:"ticket"`
	}
	q, ok := a.begin(w, r, KindCheckin, &body)
	if !ok {
		return
	}
	_, valid := a.ledger.signer.checkTicket(body.Ticket, q.synthetic)
	a.countToken(valid, q.synthetic)
	a.answer(w)(a.ledger.checkIn(r.Context(), q, body.Ticket))
}

func (a *API) order(w http.ResponseWriter, r *http.Request) {
	var body struct {
		CheckinID string `json:"checkin_id"`
		Items     []line `json:"items"`
	}
	q, ok := a.begin(w, r, KindOrder, &body)
	if !ok {
		return
	}
	if err := validLines(body.Items); err != nil {
		httpapi.WriteError(w, err)
		return
	}
	// A retry gets its answer even if prices are not known just now.
	if held, found, err := a.ledger.answered(r.Context(), q); err == nil && found {
		httpapi.WriteRaw(w, held.status, held.body)
		return
	}
	c, err := a.catalog.Catalog(r.Context())
	if err != nil {
		if r.Context().Err() == nil { // a guest who left was not failed
			o := q.outcome()
			o.Reason = ReasonCatalog
			a.ledger.Fail(o, err)
		}
		httpapi.WriteError(w, httpapi.Errorf(http.StatusServiceUnavailable, "The prices are not known yet: the hub is away and no catalogue is held. Try again."))
		return
	}
	a.answer(w)(a.ledger.placeOrder(r.Context(), q, body.CheckinID, body.Items, price(c, body.Items)))
}

func validLines(lines []line) error {
	if len(lines) == 0 || len(lines) > maxLines {
		return httpapi.Errorf(http.StatusBadRequest, "An order has 1 to %d items; this one has %d.", maxLines, len(lines))
	}
	for _, ln := range lines {
		if !catalog.ValidSKU(ln.SKU) || ln.Quantity < 1 || ln.Quantity > maxQuantity {
			return httpapi.Errorf(http.StatusBadRequest, "Each item needs a sku and a quantity of 1 to %d.", maxQuantity)
		}
	}
	return nil
}

// The ways to pay, and the card tokens of the terminal's test mode.
const (
	methodCard    = "card"
	methodCash    = "cash"
	tokenOK       = "tok_ok"
	tokenDeclined = "tok_declined"
)

func methods() []string { return []string{methodCard, methodCash} }

// authorise asks the terminal whether the money can be taken.
func authorise(method, token string) (approved bool, err error) {
	switch {
	case method == methodCash:
		return true, nil
	case method != methodCard:
		return false, httpapi.Errorf(http.StatusBadRequest, "The method %q is not known; use card or cash.", method)
	case token == tokenOK:
		return true, nil
	case token == tokenDeclined:
		return false, nil
	}
	return false, httpapi.Errorf(http.StatusBadRequest, "The card token is not known to the terminal; use %s or %s.", tokenOK, tokenDeclined)
}

func (a *API) pay(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	var body struct {
		Method string `json:"method"`
		Token  string `json:"token"`
	}
	q, ok := a.begin(w, r, KindPayment, &body)
	if !ok {
		return
	}
	approved, err := authorise(body.Method, body.Token)
	if err != nil {
		httpapi.WriteError(w, err)
		return
	}
	a.answer(w)(a.ledger.pay(r.Context(), q, r.PathValue("id"), body.Method, approved))
	if !q.synthetic {
		a.duration.Observe(time.Since(start).Seconds())
	}
}

func (a *API) refund(w http.ResponseWriter, r *http.Request) {
	q, ok := a.begin(w, r, KindRefund, &struct{}{})
	if !ok {
		return
	}
	a.answer(w)(a.ledger.refund(r.Context(), q, r.PathValue("id")))
}

func (a *API) payment(w http.ResponseWriter, r *http.Request) {
	p, found, err := a.ledger.payment(r.Context(), r.PathValue("id"), claim.Synthetic(r.Context()))
	switch {
	case err != nil:
		a.fail(w, err)
	case !found:
		httpapi.WriteError(w, httpapi.Errorf(http.StatusNotFound, "There is no payment %s.", r.PathValue("id")))
	default:
		httpapi.WriteJSON(w, http.StatusOK, p)
	}
}

func (a *API) verifyReceipt(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Receipt string `json:"receipt"`
	}
	if err := httpapi.ReadJSON(w, r, httpapi.MaxBody, &body); err != nil {
		httpapi.WriteError(w, err)
		return
	}
	synthetic := claim.Synthetic(r.Context())
	c, valid := a.ledger.signer.checkReceipt(body.Receipt, synthetic)
	a.countToken(valid, synthetic)
	if !valid {
		httpapi.WriteJSON(w, http.StatusOK, map[string]bool{"valid": false})
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, map[string]any{
		"valid": true, "payment_id": c.Subject, "order_id": c.OrderID, "amount_minor": c.AmountMinor, "currency": c.Currency,
	})
}

// begin reads a request that changes the ledger; false means that it has been
// answered.
func (a *API) begin(w http.ResponseWriter, r *http.Request, kind Kind, body any) (request, bool) {
	err := httpapi.ReadJSON(w, r, httpapi.MaxBody, body)
	var q request
	if err == nil {
		q, err = a.ledger.newRequest(r, kind, claim.Synthetic(r.Context()), body)
	}
	if err != nil {
		httpapi.WriteError(w, err)
		return request{}, false
	}
	return q, true
}

func (a *API) countToken(valid, synthetic bool) {
	switch {
	case synthetic:
	case valid:
		a.tokens.WithLabelValues(ResultOK).Inc()
	default:
		a.tokens.WithLabelValues(ResultRejected).Inc()
	}
}

// answer writes what the ledger came to.
func (a *API) answer(w http.ResponseWriter) func(answer, error) {
	return func(ans answer, err error) {
		if err != nil {
			a.fail(w, err)
			return
		}
		httpapi.WriteRaw(w, ans.status, ans.body)
	}
}

// fail answers for the ledger when it could not do its work. The ledger itself
// logs when it stops being writable.
func (a *API) fail(w http.ResponseWriter, err error) {
	sentence := "The ledger cannot be written at the moment; nothing was recorded. Try again with the same Idempotency-Key."
	switch {
	case sqlite.IsFull(err):
		sentence = "The disk is full; nothing was recorded. Try again with the same Idempotency-Key once there is room."
	case errors.Is(err, ErrOverloaded), errors.Is(err, errTimeout):
		sentence = "The till is overloaded; nothing was recorded. Try again with the same Idempotency-Key."
	case errors.Is(err, ErrClosed):
		sentence = "The till is shutting down; nothing was recorded. Try again with the same Idempotency-Key."
	case errors.Is(err, context.Canceled):
		a.log.Debug("client left before its answer", "error", err)
	}
	httpapi.WriteError(w, httpapi.Errorf(http.StatusServiceUnavailable, "%s", sentence))
}
