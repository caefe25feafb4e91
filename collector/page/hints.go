package page

import (
	"fmt"
	"strings"
)

// A hint is what the person at the venue can do about one fact.
type hint struct {
	Fact string
	Do   []string
}

// advice by a word of the failing step's name.
type advice struct {
	word string
	do   []string
}

// stepAdvice is looked through in order; the first word found in the step's name
// counts.
func stepAdvice() []advice {
	return []advice{
		{"ticket", []string{"Compare this node's clock with a phone: a clock that is minutes off makes tickets look expired.", "Try one real ticket at the door; if it works, only the test ticket is affected."}},
		{"check", []string{"Compare this node's clock with a phone: a clock that is minutes off makes tickets look expired.", "Try one real ticket at the door; if it works, let people in."}},
		{"catalog", []string{"Prices come from the cache while the regional hub is away: a repair runs by itself when objects are corrupt.", "If the cache is empty, the hub must be reachable once: check the uplink."}},
		{"order", []string{"Take one order by hand on a till and note what it says.", "If every till fails, look at the disk below: orders need room to be written."}},
		{"pay", []string{"Keep the doors open and take note of what people want to buy; do not take a card twice.", "Look at the ledger and the disk below: a payment is only taken when it can be written down.", "If the node's own restart did not help, ring whoever runs the fleet."}},
		{"receipt", []string{"Payments go through; receipts cannot be verified. Sell on, and say that receipts follow."}},
		{"relay", []string{"Sales are not affected: only what the audience does together is.", "Restart the show's own devices last; the relay reconnects by itself."}},
		{"refund", []string{"Sales are not affected. Note who is owed money and refund later."}},
	}
}

// objectiveAdvice is the same for the name of an objective that burns its budget.
func objectiveAdvice() []advice {
	return []advice{
		{"settlement", []string{"Sales go on. Check the uplink: settlement waits for the regional hub and catches up by itself."}},
		{"power", []string{"Plug the node in, or switch off what the show can do without: it says goodbye before the battery is empty."}},
		{"relay", []string{"Sales are not affected. Move what streams off the tills' network; restart the show's own devices last."}},
		{"cache", []string{"Sales are slower, not lost. The cache repairs itself when the hub can be reached: check the uplink."}},
		{"token", []string{"Compare this node's clock with a phone: a clock that is minutes off makes tickets look expired."}},
		{"latency", []string{"Look at processor and disk below: a node that is busy with something else answers late."}},
		{"conversion", []string{"Buy one thing yourself at a till. If that works, ask the bar and the door what keeps people from buying."}},
		{"journey", []string{"Buy one thing yourself at a till. If that works, let people in and ring whoever runs the fleet."}},
		{"checkout", []string{"Take one order by hand on a till and note what it says."}},
	}
}

// adviceFor is what to do about a journey that fails at a step.
func adviceFor(step string) []string {
	for _, a := range stepAdvice() {
		if strings.Contains(strings.ToLower(step), a.word) {
			return a.do
		}
	}
	return []string{"Read the reason beside the failing step below.", "Wait for the node's own heal: its tries are listed below."}
}

// hints are the next steps for what is wrong, the most urgent first.
func hints(s Status, runs []journeyLook) []hint {
	var out []hint
	if e := s.Edgecore; e != nil {
		out = append(out, edgecoreHints(*e)...)
	}
	for _, j := range runs {
		if j.Tone != "bad" {
			continue
		}
		fact := fmt.Sprintf("%s stops at step %s", j.Name, j.FailedStep)
		out = append(out, hint{fact, adviceFor(j.FailedStep)})
	}
	if d := s.Host.DiskUsed; d != nil && *d > 0.95 {
		out = append(out, hint{fmt.Sprintf("The disk is %.0f %% full", 100**d), []string{"Remove files that are not Ghostlight's or edgecore's. Revenue has space set aside, everything else is thinned by itself."}})
	}
	if b := s.Uplink.Bandwidth; b != nil && len(b.Withheld) > 0 {
		out = append(out, hint{"Today's bandwidth is nearly used up", []string{"Sales do not need it, and revenue still goes to the centre.", "The rest waits here until midnight UTC. If it must not, ring whoever runs the fleet: fleet.bandwidth in agent.yaml says how much a day may send."}})
	}
	if !s.Uplink.Up && s.Uplink.SinceMS > 0 {
		out = append(out, hint{"The centre cannot be reached", []string{"Sales do not need it, and everything is kept until it is reached.", "Check the cable, the SIM and the power of the router; the node reconnects by itself."}})
	}
	return out
}

func edgecoreHints(e Edgecore) []hint {
	var out []hint
	if !e.Up && e.LastMS > 0 {
		out = append(out, hint{"edgecore does not answer", []string{"The agent restarts it by itself; see below whether it tried.", "If it stays down for two minutes, restart the node's machine."}})
	}
	if e.LedgerOK != nil && !*e.LedgerOK {
		out = append(out, hint{"The ledger cannot be written", []string{"Look at the disk below: if it is full, make room.", "If there is room, the disk may be failing: do not switch the machine off before somebody has looked at it."}})
	}
	if e.HubReachable != nil && !*e.HubReachable {
		out = append(out, hint{"The regional hub cannot be reached", []string{"Sales do not need it: they are settled later, by themselves."}})
	}
	if e.CorruptObjects != nil && *e.CorruptObjects > 0 {
		out = append(out, hint{fmt.Sprintf("%d cache objects are corrupt", *e.CorruptObjects), []string{"They are never served, and repaired by itself when the hub is reachable."}})
	}
	return out
}
