// Package tail decides, on the node, which traces and log lines are worth the
// uplink. Spans are held by trace in bounded memory until the trace has gone
// silent, then the trace is decided whole; repeated log lines become one line
// with a count; attributes that are not on an allow-list never leave the node.
//
// It guarantees that errors, slow traces, synthetic journeys and revenue are kept
// while there is memory and disk for them; that all parts of a trace share one
// decision, late ones included, while the decision is remembered; that the
// probability anything else was kept with is written into it; that what is
// received is kept, dropped by a named reason or still held, and nothing else; and
// that it holds no more than the bytes it was given.
//
// It acknowledges what it has in memory: a kill loses the few seconds that are not
// stored yet. Nothing that is revenue goes by this way: spans and lines are
// evidence, and outcomes have a path of their own. It never changes a metric and
// never delays one. DESIGN.md has the data flow.
package tail
