// Package fleetsim proves, in virtual time and over thousands of seeded nights,
// that what nodes produce arrives at the centre once: the centre's sums equal an
// oracle's exactly, whatever breaks in between. It holds no product code.
//
// Real are the sender (buffer/forward), the coding of its stream (buffer/delta),
// the merging of what waits, and the messages (buffer/wire). In memory are the
// disks at both ends, which keep the promises of buffer/queue and fleet/ingest, the
// centre's end of a stream, which follows that of fleet/ingest, and the uplinks,
// which break. A seed decides what is produced and what breaks when; things that
// happen at the same instant may still take either order.
//
// A night fails if at any instant a node was told that something is durable which
// the centre's disk does not hold, if anything is given up or still waits in the
// end, or if blocks, samples, values, records or the sales of a single minute
// differ. It also fails if a node that nothing hinders does not do in time what it
// should: send what is fresh first over a new connection, have it at the centre
// soon after an outage, begin its coding anew, leave a full centre alone, say that
// it lives. The package breaks each of these rules on purpose, too, to see that it
// notices.
//
// Environment variables choose what is run: SEEDS how many nights, SEED one night
// alone, NODES how many nodes it has, FAULTS which faults may happen.
package fleetsim
