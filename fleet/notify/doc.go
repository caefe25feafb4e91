// Package notify tells people of incidents. What it has taken it keeps, in the
// fleet's state, until each receiver that should be told has been: a receiver that is
// down for an hour gets each page afterwards, and so it does when the centre dies in
// between. A page arrives at least once, and each carries one key that stays the same
// over repeats, restarts and between node and centre: the incident's id.
//
// On its way to a receiver a page passes small stages, one file each: dedupe, hold,
// silence, group, retry, send. It never guesses: a fact that is not known is left out
// of the page.
package notify
