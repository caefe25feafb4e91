// Package status composes what the fleet's books hold into the views that pages
// and the JSON API show alike: the fleet, one venue, the events, kept evidence. What
// is told of objectives and of incidents has rooms of its own below; the words that
// all views share are here.
//
// It guarantees that four facts never merge: a venue is dark (nothing is heard),
// failing (heard, and it cannot sell), blind (heard, and nobody can tell) or
// quiet (heard, able to sell, and nobody buys); that what is unknown is never
// shown as healthy; and that every share of good events says of how many minutes
// it knows. It stores nothing and corrects nothing: a view is read from the books
// each time it is asked for.
package status
