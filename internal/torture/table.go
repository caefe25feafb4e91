package torture

import (
	"fmt"
	"strings"
)

// Table is the contest in Markdown: what each side said of the same objectives as the
// venues closed and once all had been delivered, beside the truth.
func (c Contest) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d feeds, %d objectives of venues; of %d samples that agents had to send Prometheus refused %d.\n\n", c.Feeds, c.Objectives, c.Offered, c.Refused)
	b.WriteString("| when | who says it | error of the SLI, mean | worst | error of the budget spent, mean | worst | wrong verdicts | no verdict | truth outside the bounds given |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, when := range []struct {
		name   string
		scores map[Side]*Score
	}{{"as the venues close", c.Closing}, {"all delivered", c.End}} {
		for _, side := range Sides() {
			s := when.scores[side]
			said, outside := float64(max(1, s.Said)), "gives none"
			if side == Ghostlight {
				outside = fmt.Sprint(s.Outside)
				if s.Again > 0 {
					outside += fmt.Sprintf(" (and %d where a clock was set back over minutes already told)", s.Again)
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %d of %d | %d | %s |\n", when.name, side,
				percent(s.SLI/said), percent(s.SLIWorst), percent(s.Budget/said), percent(s.BudgetWorst), s.Wrong, s.Judged, s.Silent, outside)
		}
	}
	byClock := func(n, of int) string {
		if of == 0 {
			return fmt.Sprint(n)
		}
		return fmt.Sprintf("%d (%d by the venue's own clock, which was set wrong)", n, of)
	}
	b.WriteString("\n| pages | due | missed | false | more than one for an outage |\n| --- | ---: | ---: | ---: | ---: |\n")
	for _, side := range []Side{Ghostlight, Generated} {
		p := c.Pages[side]
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %d |\n", side, p.Due, byClock(p.Missed, p.MissedByClock), byClock(p.False, p.FalseByClock), p.Double)
	}
	return b.String()
}

// percent is a share; nothing is nothing, and what is not is not shown as such.
func percent(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.00005:
		return "< 0.01 %"
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}
