package ledger

import "ghostlight/slo"

// A Cause says why a minute that had settled became another.
type Cause string

// The causes.
const (
	// Late: the first word of the minute came after it had settled.
	Late Cause = "late"
	// Reconnected: it came more than five minutes late, as of a node that could not
	// be heard, or did not look, meanwhile.
	Reconnected Cause = "reconnected"
	// Revised: the node told it again, with a higher revision.
	Revised Cause = "revised"
	// Attested: the node now attests that it did not run or could not see.
	Attested Cause = "attested"
	// Redefined: it counts by another indicator now.
	Redefined Cause = "redefined"
	// Recounted: the centre, which alone can count it, counted again.
	Recounted Cause = "recounted"
)

// Their numbers are part of the format of stored rows.
var causes = []Cause{"", Late, Reconnected, Revised, Attested, Redefined, Recounted}

func (c Cause) number() byte {
	for i, other := range causes {
		if c == other {
			return byte(i)
		}
	}
	return 0
}

// reconnectedMS is how late a first word must be to tell of a silence.
const reconnectedMS = 5 * 60_000

// changeOf is why a minute that was told before is another now.
func changeOf(o *objective, was, is slo.Bucket) Cause {
	switch {
	case o.central():
		return Recounted
	case was.Hash != is.Hash:
		return Redefined
	case is.State == slo.Gap && was.State != slo.Gap:
		return Attested
	}
	return Revised
}

// firstWord is why a minute that nobody had told of is known now.
func firstWord(o *objective, is version) Cause {
	switch {
	case o.central():
		return Recounted
	case is.State == slo.Gap:
		return Attested
	case is.arrivedMS > (is.Minute+1)*60_000+reconnectedMS:
		return Reconnected
	}
	return Late
}
