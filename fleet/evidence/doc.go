// Package evidence keeps the spans and log lines that tell why a journey failed or
// an incident happened, and nothing else: Ghostlight is no trace or log store.
//
// A trace is kept when somebody claims it: the registry does, for the trace of a
// failed journey run. Claim and telemetry travel in different lanes and may come in
// any order and any number of times; what is kept in the end is the same. What is
// not claimed waits for a while, bounded in time and bytes, and is dropped and
// counted. What is kept goes by age and, beyond the bytes allowed, oldest first. Both are
// judged by the centre's clock, for a node's may be wrong.
//
// Evidence belongs to the node whose connection it came by: a node cannot put spans
// into the trace of another.
package evidence
