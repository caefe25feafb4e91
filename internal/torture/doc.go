// Package torture proves that a verdict is right in the end and honest before:
// a seeded truth, events per node and minute, goes through all that can go wrong
// between a venue and the centre, and what the centre then says of every objective
// equals an oracle's sums exactly. It holds no product code.
//
// Real are the node's book (collector/sli) and its alerts, shows and incidents
// (collector/incidents), and at the centre, on disk, the store, the ledger, the alerts
// of many nodes with the audit of pages, and the book of incidents (fleet/store,
// fleet/ledger, fleet/burn, fleet/incident). In memory are edgecore's ledger of outcomes
// and its counters, the node's disk, which keeps the promises of buffer/queue, the
// uplink, who of the nodes is heard, and people, who die now and then before they say
// that they were told. Time is virtual and a seed decides everything: one goroutine
// lives through a feed step by step.
//
// What the oracle takes for true:
//
//   - An outcome is what edgecore committed, in the minute that edgecore stamped it
//     with: by the node's clock as it was then, right or wrong. While edgecore is
//     dead nothing is sold and nothing is true. When a clock is set back its minutes
//     come again, and hold what happened in both.
//   - A run of a journey is true once the node has it on disk. One that the agent
//     still held in memory when it died was seen by nobody.
//   - A counter is true as a whole: what it grew by from the first reading on disk to
//     the last. Which minutes that belongs to nobody knows who was not looking.
//   - Minutes outside opening hours and within exclusions do not count; the oracle
//     tells them by the wall time of the zone and not by rule.
//   - A rule that pages held when, at the end of the minute or of one next to it, its
//     windows over all that happened burnt faster than it allows. A show's alert fires
//     until its condition was gone for ten minutes.
//   - What wakes somebody is an outage; those of a venue of which each fails within ten
//     minutes of the one before are one, and so are many nodes that go dark together.
//   - A slice is good, or counts by its share, as the sums of all nodes say. A window
//     begins when the first of its nodes began to answer.
//
// A feed fails if in the end counts, SLI, budget or verdict of any objective, for
// the fleet, a venue or a node, differ from the oracle's, or if anything is still
// pending; if bounds that were given on the way do not contain the final value; if
// a verdict that was final changed; if coverage did not add up to the minutes
// expected; if what was known at a time is not what was answered then; if running
// windows are not what the ledger sums up anew; if the centre lacks a fact of an
// incident that a node has on disk; or if one outage has two keys. It fails if the audit
// calls a page right, wrong or missed that by the truth is not so, or lacks one; if it is
// silent on a rule that held; if the book of incidents tells one cause under two keys
// without need, tells that something fails again that does not, holds for open what is
// over, does not know that a node was dark, or counts other outages than there were. The
// package breaks rules on purpose, too, to see that it notices.
//
// What was said of a minute after its end may change in two cases, which the oracle
// knows. The node's clock was set back over it. Or it came after the deadline by which
// the objective gave it up. Bounds and verdicts that rest on such a minute are not held
// against the ledger; that the final value is right, is.
//
// [Contest] sends the same feeds through a real Prometheus, too.
//
// Environment variables choose what is run: SEEDS how many feeds, SEED one alone and
// all that happens in it, FAULTS which faults may happen, CONTEST how many feeds are
// compared with Prometheus.
package torture
