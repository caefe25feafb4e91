// Package ingest takes blocks from nodes, by a long-lived stream or one POST each,
// and makes them the centre's.
//
// It guarantees that a block is durable in its journal before it is acknowledged;
// that a block acknowledged once is counted once, however often and in whatever
// order it is sent; and that what was acknowledged reaches the stores: it leaves
// the journal only after they hold it durably, and is applied again after a crash.
// What the stores cannot take is kept apart and counted, never refused in
// hindsight: rows too far in the future are parked until they can be stored, rows
// and records that never can be are dead letters. Of a damaged journal all that is
// intact is kept, and the rest is counted.
//
// It never trusts a block to say who sent it, and a malformed block hurts nobody
// but its sender. DESIGN.md tells the flow and what a crash at each point does.
package ingest
