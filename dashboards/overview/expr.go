package overview

import (
	"fmt"
	"strings"
)

// lastSample is when each venue was last heard of, in Unix seconds: to the second
// while it is live, to the minute for one that has been dark for up to six hours.
const lastSample = `(max by (venue) (timestamp(up{venue=~"$venue"})) or max by (venue) (max_over_time(timestamp(up{venue=~"$venue"})[6h:1m])))`

// darkSeconds is how long a venue may be silent before it counts as dark: two
// scrapes at the default interval.
const darkSeconds = 30

// increase is a counter's increase per venue, and per further labels.
func increase(metric, matchers, by string) string { return over("increase", metric, matchers, by) }

// rate is a counter's increase per second.
func rate(metric, matchers, by string) string { return over("rate", metric, matchers, by) }

func over(function, metric, matchers, by string) string {
	return fmt.Sprintf("sum by (%s) (%s(%s{%s}[$__rate_interval]))", by, function, metric, selector(matchers))
}

func selector(matchers string) string {
	if matchers == "" {
		return `venue=~"$venue"`
	}
	return `venue=~"$venue", ` + matchers
}

// gauge is the extreme (max or min) of a gauge per venue, and per further labels.
func gauge(extreme, metric, matchers, by string) string {
	return fmt.Sprintf("%s by (%s) (%s{%s})", extreme, by, metric, selector(matchers))
}

// share is the part of a counter's increase that matches, 0 to 1.
func share(metric, all, part, by string) string {
	return rate(metric, joinMatchers(all, part), by) + " / " + rate(metric, all, by)
}

func joinMatchers(ms ...string) string {
	var out []string
	for _, m := range ms {
		if m != "" {
			out = append(out, m)
		}
	}
	return strings.Join(out, ", ")
}

// quantile is a quantile of a histogram.
func quantile(q float64, metric, by string) string {
	return fmt.Sprintf("histogram_quantile(%g, %s)", q, rate(metric+"_bucket", "", by+", le"))
}

// orZero shows a flat zero for venues that are seen and have nothing to count.
func orZero(expr string) string {
	return expr + ` or on (venue) 0 * max by (venue) (ghostlight_uplink_up{venue=~"$venue"})`
}

// Currencies whose minor unit is not a hundredth, by ISO 4217.
const (
	wholeCurrencies   = "BIF|CLP|DJF|GNF|ISK|JPY|KMF|KRW|PYG|RWF|UGX|UYI|VND|VUV|XAF|XOF|XPF"
	thousandthsOfUnit = "BHD|IQD|JOD|KWD|LYD|OMR|TND"
)

// amountPerMinute is money per minute in whole units of each currency.
func amountPerMinute(by string) string {
	part := func(matcher string, minor int) string {
		return fmt.Sprintf("60 / %d * %s", minor, rate("edgecore_payment_amount_minor_total", matcher, by))
	}
	return strings.Join([]string{
		part(fmt.Sprintf(`currency!~"%s|%s"`, wholeCurrencies, thousandthsOfUnit), 100),
		part(fmt.Sprintf(`currency=~"%s"`, wholeCurrencies), 1),
		part(fmt.Sprintf(`currency=~"%s"`, thousandthsOfUnit), 1000),
	}, " or ")
}
