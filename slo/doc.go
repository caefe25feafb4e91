// Package slo holds what an objective is and the arithmetic of keeping it:
// buckets, windows, error budgets, burn rates, alerts, coverage and verdicts. It is
// pure: no clock, no goroutine, and no I/O but the Load function a [Tally] is given.
//
// A node's [Tally] turns events into a [Bucket] per minute, and revises it as
// events come late; the centre picks the highest revision of each minute and
// judges a window of them with [Evaluate]. Counts are integers and buckets a set,
// so that order, repeats and replays change nothing.
//
// A [Track] keeps the same windows up to date as buckets come, at a cost that does
// not grow with their length, and a [BurnWatch] or an [EventWatch] makes alerts of
// them, the same on a node and at the centre, each with one key for life.
//
// It never guesses. A minute nobody has reported is pending, neither good nor bad;
// a minute without events is quiet only where a passing journey vouches for it; a
// verdict is given only when what is pending cannot change it; a forecast never
// decides.
package slo
