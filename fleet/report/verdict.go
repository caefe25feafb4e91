package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ghostlight/fleet/ledger"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
)

// await notes what the report still lacks.
func (r *Report) await(f facts) {
	for _, d := range r.Dark {
		if d.ToMS == 0 {
			r.Awaiting = append(r.Awaiting, fmt.Sprintf("%s is dark, for %s now: what it sold since then is not in here.", d.Venue, span(r.GeneratedMS-d.FromMS)))
		}
	}
	var open []string
	for _, o := range r.Objectives {
		var at []string
		for _, v := range o.Venues {
			if v.Minutes.Pending > 0 {
				at = append(at, v.Venue)
			}
		}
		if len(at) > 0 {
			r.Awaiting = append(r.Awaiting, fmt.Sprintf("%s: %s of %d are still to come, from %s.",
				o.DisplayName, webui.Plural(o.Minutes.Pending, "minute", "minutes"), o.Minutes.Expected, strings.Join(at, ", ")))
		}
		if !r.Ongoing && o.Minutes.Open > 0 {
			open = append(open, o.DisplayName)
		}
	}
	if len(open) > 0 {
		r.Awaiting = append(r.Awaiting, "What the last minutes held may still be added to: "+strings.Join(open, ", ")+".")
	}
	if r.Ongoing {
		r.Awaiting = append(r.Awaiting, "The event goes on.")
	}
	r.Complete = len(r.Awaiting) == 0 && !f.event.Open(f.now)
}

// verdict is the report in one sentence, and a second that explains it.
func verdict(r Report, outages []outage) status.Headline {
	h := status.Headline{Tone: "ok"}
	sold := webui.Plural(int(r.Sales), "sale", "sales")
	if money := moneys(r.Totals.AmountMinor); money != "" {
		sold += ", " + money
	}
	switch {
	case r.Sales == 0 && r.Complete:
		h.Says, h.Tone = "Nothing was sold", "quiet"
	case r.Sales == 0:
		h.Says, h.Tone = "No sale is known so far", "unknown"
	case r.Ongoing:
		h.Says = "It sells: " + sold + " so far"
	default:
		h.Says = "It sold: " + sold
	}
	if broke := broken(r, outages); broke != "" {
		h.Says += "; " + broke
	} else {
		h.Says += "; nothing broke"
	}
	var missed, open, restated []string
	for _, o := range r.Objectives {
		if o.Restated {
			restated = append(restated, o.DisplayName)
		}
		switch {
		case o.Verdict == "missed":
			missed = append(missed, o.DisplayName)
		case o.Verdict != "met":
			open = append(open, o.DisplayName)
		}
	}
	if len(missed) > 0 && h.Tone == "ok" {
		h.Tone = "warn"
	}
	if !r.Complete && h.Tone == "ok" {
		h.Tone = "unknown"
	}
	h.Detail = objectivesInWords(len(r.Objectives), missed, open)
	if len(restated) > 0 {
		h.Detail += " Restated by late data: " + strings.Join(restated, ", ") + "."
	}
	if says := recovery(r); says != "" {
		h.Detail += " " + strings.ToUpper(says[:1]) + says[1:] + "."
	}
	return h
}

// broken says what broke and how it ended.
func broken(r Report, outages []outage) string {
	var parts []string
	if n := len(outages); n > 0 {
		still := 0
		for _, o := range outages {
			if o.toMS == 0 {
				still++
			}
		}
		healed := 0
		for _, h := range r.Heals {
			if h.Result == "succeeded" && h.FailedMS > 0 {
				healed++
			}
		}
		part := webui.Plural(n, "outage", "outages")
		if healed > 0 {
			part += fmt.Sprintf(", %d healed by the nodes themselves", healed)
		}
		if still > 0 {
			part += fmt.Sprintf(", %d not over", still)
		}
		parts = append(parts, part)
	}
	if len(r.Dark) > 0 {
		var venues []string
		var landed int64
		missing := 0
		for _, d := range r.Dark {
			venues = append(venues, d.Venue)
			landed += d.Sales
			missing += d.Pending + d.Gap
		}
		slices.Sort(venues)
		part := strings.Join(slices.Compact(venues), " and ") + " went dark"
		if landed > 0 {
			part += fmt.Sprintf(" and went on selling (%s landed afterwards)", webui.Plural(int(landed), "sale", "sales"))
		}
		if missing > 0 {
			part += fmt.Sprintf(", %d min of it not known", missing)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

func objectivesInWords(n int, missed, open []string) string {
	switch {
	case n == 0:
		return "No objective covered it."
	case len(missed) > 0:
		return "Missed: " + strings.Join(missed, ", ") + "."
	case len(open) > 0:
		return "Not decided yet: " + strings.Join(open, ", ") + "."
	case n == 1:
		return "Its objective is met."
	}
	return fmt.Sprintf("All %d objectives are met.", n)
}

// moneys lists amounts by currency, such as "12.00 EUR and 3.50 GBP"; "" for none.
func moneys(amounts map[string]int64) string {
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(amounts)) {
		if amounts[c] != 0 {
			parts = append(parts, webui.Money(amounts[c], c))
		}
	}
	return strings.Join(parts, " and ")
}

// Thresholds of the advice.
const (
	darkWorthALink   = 30 * time.Second
	outageWorthALook = time.Minute
	healsWorthALook  = 3
	declinedShare    = 0.10
)

// advise derives what to change from the facts, by rules; each names its fact.
func advise(f facts, r Report) []Advice {
	out := []Advice{}
	add := func(text, because string) { out = append(out, Advice{text, because}) }
	for _, v := range r.Venues {
		if v.DarkMS >= darkWorthALink.Milliseconds() {
			add("Give "+v.Venue+" a second way to the centre", "it was dark for "+span(v.DarkMS)+" in all")
		}
		if v.Totals.FailedPayments > 0 {
			add("Go through the failed payments of "+v.Venue, webui.Plural(int(v.Totals.FailedPayments), "payment", "payments")+" failed on our side")
		}
		if n := v.Totals.Sales + v.Totals.Declined; n >= 20 && float64(v.Totals.Declined) > declinedShare*float64(n) {
			add("Offer another way to pay at "+v.Venue, webui.Percent(float64(v.Totals.Declined)/float64(n))+" of its payments were declined by card issuers")
		}
		out = append(out, repeatedHeals(v.Venue, r.Heals)...)
		if !slices.ContainsFunc(r.Journeys, func(j Journey) bool { return j.Venue == v.Venue }) {
			add("Add a journey at "+v.Venue, "none ran there: nobody can vouch for its silence")
		}
	}
	for _, j := range r.Journeys {
		switch {
		case j.OpenMS > 0:
			add(fmt.Sprintf("Repair step %s of %s at %s", j.WorstStep, j.Name, j.Venue), "it still fails, and healing did not help")
		case j.Longest >= outageWorthALook.Milliseconds():
			add(fmt.Sprintf("Get %s back faster at %s", j.Name, j.Venue), "its longest outage took "+span(j.Longest)+", at step "+j.WorstStep)
		}
	}
	for _, def := range f.defs {
		for _, o := range r.Objectives {
			if o.SLI.Objective == def.Name && def.Capacity == 0 && !def.Indicator.Central() && o.Minutes.Pending > 0 {
				add("Declare a capacity for "+o.DisplayName, "with pending minutes its verdict cannot be bounded without one")
			}
		}
	}
	if r.Pages.Wrong > 0 {
		add("Look at the alerts that woke somebody for nothing", webui.Plural(r.Pages.Wrong, "page was", "pages were")+" wrong, as is known now")
	}
	if r.Pages.Missed > 0 {
		add("Look at why nobody was woken", webui.Plural(r.Pages.Missed, "page was", "pages were")+" missed, as is known now")
	}
	return append(out, unseen(r, f)...)
}

func repeatedHeals(venue string, heals []Heal) []Advice {
	counts := map[string]int{}
	for _, h := range heals {
		if h.Venue == venue {
			counts[h.Title()]++
		}
	}
	var out []Advice
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		if counts[action] >= healsWorthALook {
			out = append(out, Advice{"Find out why " + venue + " needs \"" + action + "\"", fmt.Sprintf("it was done %d times", counts[action])})
		}
	}
	return out
}

// unseen is advice about minutes that an agent did not watch; what the centre counts
// is not its matter.
func unseen(r Report, f facts) []Advice {
	gaps := map[string]int{}
	for _, o := range r.Objectives {
		if slices.ContainsFunc(f.defs, func(d ledger.Definition) bool { return d.Name == o.SLI.Objective && d.Indicator.Central() }) {
			continue
		}
		for _, v := range o.Venues {
			gaps[v.Venue] = max(gaps[v.Venue], v.Minutes.Gap)
		}
	}
	var out []Advice
	for _, venue := range slices.Sorted(maps.Keys(gaps)) {
		if gaps[venue] > 0 {
			out = append(out, Advice{"Keep the agent of " + venue + " running", webui.Plural(gaps[venue], "minute was", "minutes were") + " not watched"})
		}
	}
	return out
}
