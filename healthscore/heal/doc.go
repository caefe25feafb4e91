// Package heal decides when a node may repair itself, does it, and proves
// afterwards what it did.
//
// It guarantees: one action at a time; none before its start is durably recorded;
// none within its cool-down, above its hourly limit or above the node's limit
// over all actions; cool-downs and counts survive restarts; gentler actions come
// before harder ones; an action counts as succeeded only when the failing journey
// passes afterwards; every record is chained to the one before by its hash.
//
// It never acts on an unknown signal, never because the centre is unreachable
// (no signal says so), and never interrupts a payment that was acknowledged but
// not yet synced to disk, for a bounded time.
package heal
