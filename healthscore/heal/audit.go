package heal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// Results of an action. Each action that runs leaves two records: Started, then
// Succeeded, Failed or Interrupted.
const (
	Started     = "started"     // about to run
	Succeeded   = "succeeded"   // done, and the failing journey passes again
	Failed      = "failed"      // it returned an error, or the journey still fails
	DryRun      = "dry_run"     // it would have run
	Refused     = "refused"     // a guardrail other than the cool-down forbade it
	Interrupted = "interrupted" // the agent stopped before the result was known
)

// An Audit is one record of the chain: what the node did by itself, or would
// have done.
type Audit struct {
	Seq        int64  `json:"seq"`   // from 1, without gaps
	AtMS       int64  `json:"at_ms"` // Unix milliseconds, node's clock
	Action     string `json:"action"`
	Reason     string `json:"reason"` // what was wrong
	Result     string `json:"result"`
	Detail     string `json:"detail,omitempty"`
	DurationMS int64  `json:"duration_ms,omitempty"` // of action and verification
	Prev       string `json:"prev"`                  // Hash of the record before, "" for the first
	Hash       string `json:"hash"`                  // lower-case hex of SHA-256
}

// digest is SHA-256 over the record's JSON with an empty hash: fields in the order
// above, no space, and '<', '>' and '&' escaped as \u003c, \u003e and \u0026.
func (a Audit) digest() string {
	a.Hash = ""
	doc, _ := json.Marshal(a) // strings and integers only: cannot fail
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}

// ErrChain means that records were changed, dropped, added or moved.
var ErrChain = errors.New("audit chain is broken")

// Verify reports where a chain, in order, is not what was recorded. It may start
// anywhere, so the caller decides whether records before the first are missed;
// that the last ones were cut off cannot be seen from the chain alone.
func Verify(chain []Audit) error {
	for i, a := range chain {
		switch {
		case a.Hash != a.digest():
			return fmt.Errorf("%w: record %d does not match its hash", ErrChain, a.Seq)
		case a.Seq < 1 || (a.Seq == 1) != (a.Prev == ""):
			return fmt.Errorf("%w: record %d has an impossible place", ErrChain, a.Seq)
		case i > 0 && a.Seq != chain[i-1].Seq+1:
			return fmt.Errorf("%w: record %d follows record %d", ErrChain, a.Seq, chain[i-1].Seq)
		case i > 0 && a.Prev != chain[i-1].Hash:
			return fmt.Errorf("%w: record %d does not continue record %d", ErrChain, a.Seq, chain[i-1].Seq)
		}
	}
	return nil
}
