// Package settlement brings a node's sales and refunds into the hub's ledger.
//
// The node numbers its entries without gaps, and the hub answers with the highest
// number up to which it holds them all. Sending again changes nothing, so an
// entry is neither lost nor counted twice, whatever is cut or killed between. The
// hub's answer is believed in both directions: a hub restored from an old backup
// is sent again what it forgot.
package settlement

import (
	"errors"
	"fmt"

	"ghostlight/edgecore/catalog"
)

// Path is the hub's door, below its base URL.
const Path = "/hub/v1/settlements"

// Limits of one request.
const (
	MaxEntries   = 200
	MaxBodyBytes = 256 << 10
)

// The types of an entry.
const (
	Sale   = "sale"
	Refund = "refund"
)

// An Entry is one movement of money, already final on the node.
type Entry struct {
	Seq         int64  `json:"seq"` // within the node's ledger, from 1, without gaps
	Type        string `json:"type"`
	PaymentID   string `json:"payment_id"`
	AmountMinor int64  `json:"amount_minor"` // minor units, positive for both types
	Currency    string `json:"currency"`
	TimeMS      int64  `json:"time_ms"` // node's clock, Unix milliseconds
}

// A Request carries entries in ascending order; without any it asks how far the
// hub is.
type Request struct {
	Node    string  `json:"node"`
	Ledger  string  `json:"ledger"` // identity of the node's ledger, made with it
	Entries []Entry `json:"entries"`
}

// A Reply says how far the hub holds the ledger without a gap.
type Reply struct {
	AcceptedThrough int64 `json:"accepted_through"`
}

// maxAmount bounds one entry, so that no sum of a lifetime overflows.
const maxAmount = 1_000_000_000_000

// Validate reports the first thing that cannot be true.
func (r Request) Validate() error {
	if r.Node == "" || len(r.Node) > 63 || r.Ledger == "" || len(r.Ledger) > 63 {
		return errors.New("node and ledger must be given, with at most 63 characters")
	}
	if len(r.Entries) > MaxEntries {
		return fmt.Errorf("%d entries; at most %d are taken at once", len(r.Entries), MaxEntries)
	}
	var last int64
	for _, e := range r.Entries {
		switch {
		case e.Seq <= last:
			return fmt.Errorf("entry %d follows entry %d; sequences start at 1 and rise", e.Seq, last)
		case e.Type != Sale && e.Type != Refund:
			return fmt.Errorf("entry %d has type %q; allowed: sale, refund", e.Seq, e.Type)
		case e.PaymentID == "" || len(e.PaymentID) > 63:
			return fmt.Errorf("entry %d has no payment_id of at most 63 characters", e.Seq)
		case e.AmountMinor < 1 || e.AmountMinor > maxAmount:
			return fmt.Errorf("entry %d has an amount of %d", e.Seq, e.AmountMinor)
		case !catalog.ValidCurrency(e.Currency):
			return fmt.Errorf("entry %d has currency %q", e.Seq, e.Currency)
		}
		last = e.Seq
	}
	return nil
}
