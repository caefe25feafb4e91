package crowd

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"ghostlight/internal/daemon"
)

// An attendee carries out one plan.
type attendee struct {
	crowd *Crowd
	venue Venue
	tally *tally
	plan  Plan
	id    string // prefix of all idempotency keys, unique to this visit

	before context.Context // ends when who has not begun to pay must leave
	all    context.Context // ends when even an open payment must be abandoned
}

type catalogItem struct {
	SKU string `json:"sku"`
}

type orderLine struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// visit is the whole evening of one attendee.
func (a *attendee) visit() {
	checkIn, ok := a.checkIn()
	if !ok {
		return
	}
	items, ok := a.browse()
	if !ok {
		return
	}
	if a.plan.Relay {
		a.takePart()
	}
	order, ok := a.order(checkIn, items)
	if !ok {
		return
	}
	payment, ok := a.pay(order)
	if !ok {
		return
	}
	if a.plan.Verify {
		a.verify(payment.Receipt)
	}
	if a.plan.Refund {
		a.refund(payment.ID)
	}
}

// try repeats a step before the payment for as long as the attendee has
// patience, and reports whether the venue said yes.
func (a *attendee) try(r request) bool {
	ctx, cancel := context.WithTimeout(a.before, a.crowd.opts.Patience)
	defer cancel()
	if !a.think() {
		return false
	}
	status, _, err := a.persist(ctx, r)
	switch {
	case err != nil:
		if a.before.Err() == nil {
			a.tally.count(&a.tally.gaveUp)
		}
		return false
	case status/100 != 2:
		a.refused(r, status)
		return false
	}
	return true
}

func (a *attendee) think() bool {
	return daemon.Sleep(a.before, time.Duration(float64(a.plan.Think)*a.crowd.opts.Pace))
}

func (a *attendee) refused(r request, status int) {
	a.tally.count(&a.tally.refused)
	a.crowd.opts.Log.Warn("venue refused a request", "venue", a.venue.Name, "method", r.method, "path", r.path, "status", status)
}

func (a *attendee) checkIn() (id string, ok bool) {
	var ticket struct {
		Ticket string `json:"ticket"`
	}
	if !a.try(request{method: http.MethodPost, path: "/v1/tickets", body: struct{}{}, out: &ticket}) {
		return "", false
	}
	var in struct {
		ID string `json:"checkin_id"`
	}
	if !a.try(request{method: http.MethodPost, path: "/v1/checkins", key: a.id + "-in", body: ticket, out: &in}) {
		return "", false
	}
	a.tally.count(&a.tally.checkIns)
	return in.ID, true
}

func (a *attendee) browse() ([]catalogItem, bool) {
	var catalog struct {
		Items []catalogItem `json:"items"`
	}
	if !a.try(request{method: http.MethodGet, path: "/v1/catalog", out: &catalog}) || len(catalog.Items) == 0 {
		return nil, false
	}
	for i := range a.plan.Browse {
		pick := a.plan.Lines[i%len(a.plan.Lines)].Pick + uint32(i)
		item := catalog.Items[int(pick)%len(catalog.Items)]
		if !a.try(request{method: http.MethodGet, path: "/v1/catalog/" + url.PathEscape(item.SKU)}) {
			return nil, false
		}
	}
	return catalog.Items, true
}

func (a *attendee) order(checkIn string, items []catalogItem) (id string, ok bool) {
	body := struct {
		CheckIn string      `json:"checkin_id"`
		Items   []orderLine `json:"items"`
	}{CheckIn: checkIn}
	at := map[string]int{}
	for _, l := range a.plan.Lines {
		sku := items[int(l.Pick)%len(items)].SKU
		if i, dup := at[sku]; dup {
			body.Items[i].Quantity += l.Quantity
			continue
		}
		at[sku] = len(body.Items)
		body.Items = append(body.Items, orderLine{SKU: sku, Quantity: l.Quantity})
	}
	var order struct {
		ID string `json:"order_id"`
	}
	if !a.try(request{method: http.MethodPost, path: "/v1/orders", key: a.id + "-order", body: body, out: &order}) {
		return "", false
	}
	a.tally.count(&a.tally.orders)
	return order.ID, true
}

type paid struct {
	ID      string `json:"payment_id"`
	Status  string `json:"status"`
	Amount  int64  `json:"amount_minor"`
	Receipt string `json:"receipt"`
}

// pay begins only while the doors are open, and once begun ends only with the
// venue's definite answer or with the crowd.
func (a *attendee) pay(order string) (paid, bool) {
	if !a.think() {
		return paid{}, false
	}
	body := struct {
		Method string `json:"method"`
		Token  string `json:"token,omitempty"`
	}{Method: "card", Token: "tok_ok"}
	if a.plan.Declined {
		body.Token = "tok_declined"
	}
	if a.plan.Cash {
		body.Method, body.Token = "cash", ""
	}
	var p paid
	r := request{method: http.MethodPost, path: "/v1/orders/" + url.PathEscape(order) + "/payments", key: a.id + "-pay", body: body, out: &p, payment: true}
	status, attempts, err := a.persist(a.all, r)
	switch {
	case err != nil:
		a.tally.count(&a.tally.undetermined)
		return paid{}, false
	case attempts > 1:
		a.tally.count(&a.tally.recovered)
	}
	switch {
	case status == http.StatusPaymentRequired:
		a.tally.count(&a.tally.declined)
		return paid{}, false
	case status/100 != 2 || p.Status != "captured":
		a.refused(r, status)
		return paid{}, false
	}
	a.tally.sold(p.Amount)
	return p, true
}

func (a *attendee) verify(receipt string) {
	var answer struct {
		Valid bool `json:"valid"`
	}
	body := struct {
		Receipt string `json:"receipt"`
	}{receipt}
	if !a.try(request{method: http.MethodPost, path: "/v1/receipts/verify", body: body, out: &answer}) {
		return
	}
	if answer.Valid {
		a.tally.count(&a.tally.verified)
	} else {
		a.tally.count(&a.tally.forged)
	}
}

// refund, like pay, once begun ends only with a definite answer.
func (a *attendee) refund(payment string) {
	if !a.think() {
		return
	}
	r := request{method: http.MethodPost, path: "/v1/payments/" + url.PathEscape(payment) + "/refunds", key: a.id + "-refund", body: struct{}{}}
	status, _, err := a.persist(a.all, r)
	switch {
	case err != nil:
		a.tally.count(&a.tally.undetermined)
	case status/100 == 2:
		a.tally.count(&a.tally.refunds)
	default:
		a.refused(r, status)
	}
}
