// Package incident holds what is known of one incident: its scope, its stages on
// the clocks of those who saw them, and facts such as what was tried and who took
// note. It is pure: no clock, no goroutine and no I/O; time is passed in.
//
// An incident is a set of facts about an identity that never changes. Sets merge in
// any order, however often, to the same result, so that node and centre may both
// add to an incident while neither hears the other, and replays change nothing.
// Nothing is ever taken out: what is believed now is read from the facts, and so is
// what was believed at any time before (see [Incident.AsKnown]).
//
// It never guesses. A stage that nobody has told of is not reached; the duration of
// an incident that goes on is a lower bound, and is counted as one.
package incident
