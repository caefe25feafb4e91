// Package slo holds what an objective is and the arithmetic of keeping it:
// buckets, windows, error budgets, burn rates, coverage and verdicts. It is pure:
// no clock, no I/O. Counts are integers; a minute nobody has reported is pending,
// never good and never bad.
package slo
