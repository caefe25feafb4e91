// Package payments is the till of a venue node: check-ins, orders, payments,
// refunds, signed receipts, and the ledger they live in.
//
// It guarantees that whatever it has acknowledged is on disk and survives kill -9
// and loss of power; that the same Idempotency-Key gets the same answer and never
// sells twice; that each fact, the outcome that reports it, the answer to its key
// and its place in the settlement queue commit together or not at all; and that
// revenue counters are sums over committed outcomes, never guesses.
//
// It never mixes synthetic traffic with business: the synthetic partition is not
// settled, not counted as revenue, and cannot be reached from a guest's request.
// It never needs the hub to sell, except for prices it has never seen.
package payments
