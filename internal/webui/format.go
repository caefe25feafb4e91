package webui

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// Unknown is what stands where a figure is not known.
const Unknown = "unknown"

// Time is a moment, Unix milliseconds, as a <time> element: UTC text, which the
// script turns into the reader's zone. form is "hm", "hms", "full", "day" or
// "dayhm". A time of
// 0 is "never".
func Time(ms int64, form string) template.HTML {
	if ms == 0 {
		return "never"
	}
	t := time.UnixMilli(ms).UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-form="%s">%s UTC</time>`,
		t.Format("2006-01-02T15:04:05Z"), template.HTMLEscapeString(form), utc(t, form)))
}

func utc(t time.Time, form string) string {
	switch form {
	case "hms":
		return t.Format("15:04:05")
	case "full":
		return t.Format("2 Jan 2006, 15:04")
	case "day":
		return t.Format("2 Jan")
	case "dayhm":
		return t.Format("2 Jan, 15:04")
	}
	return t.Format("15:04")
}

// Span is a length of time in the two largest units that matter, such as
// "1 min 20 s" or "3 d 4 h". Less than a second is in milliseconds.
func Span(d time.Duration) string {
	if d < 0 {
		return "0 s"
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second != 0:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return pair(int(d/time.Minute), "min", int(d%time.Minute/time.Second), "s")
	case d < 24*time.Hour:
		return pair(int(d/time.Hour), "h", int(d%time.Hour/time.Minute), "min")
	}
	return pair(int(d/(24*time.Hour)), "d", int(d%(24*time.Hour)/time.Hour), "h")
}

func pair(a int, ua string, b int, ub string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, ua)
	}
	return fmt.Sprintf("%d %s %d %s", a, ua, b, ub)
}

// Count groups thousands by commas.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	if neg {
		return "-" + b.String()
	}
	return b.String()
}

// Percent of a ratio. Digits grow near 100 % so that 99.95 % is not rounded up
// to a perfect score: only exactly 1 prints as "100 %".
func Percent(ratio float64) string {
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return Unknown
	}
	if ratio == 0 || ratio == 1 {
		return strconv.Itoa(int(ratio*100)) + " %"
	}
	digits := 1
	if d := 1 - ratio; d > 0 && d < 0.01 {
		digits = min(4, int(math.Ceil(-math.Log10(d)))-1)
	}
	scale := math.Pow(10, float64(digits))
	down := math.Floor(ratio*100*scale+1e-7) / scale
	return trim(strconv.FormatFloat(down, 'f', digits, 64)) + " %"
}

// trim drops zeros that say nothing after a decimal point.
func trim(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Money is an amount in minor units of a currency, such as "1,204.50 EUR".
func Money(minor int64, currency string) string {
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	digits := minorDigits(currency)
	scale := int64(math.Pow10(digits))
	s := sign + Count(minor/scale)
	if digits > 0 {
		s += fmt.Sprintf(".%0*d", digits, minor%scale)
	}
	return strings.TrimSpace(s + " " + currency)
}

// minorDigits is the number of decimals of a currency in ISO 4217; two unless
// it is one of the exceptions.
func minorDigits(currency string) int {
	switch currency {
	case "JPY", "KRW", "CLP", "ISK", "VND", "XAF", "XOF", "PYG", "UGX":
		return 0
	case "BHD", "KWD", "JOD", "OMR", "TND", "IQD", "LYD":
		return 3
	}
	return 2
}

// Bytes in binary units.
func Bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// Number prints v with as few digits as tell it apart at its size.
func Number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Unknown
	}
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e15:
		return Count(int64(v))
	case a >= 100:
		return Count(int64(math.Round(v)))
	case a >= 10:
		return trim(strconv.FormatFloat(v, 'f', 1, 64))
	case a >= 0.1:
		return trim(strconv.FormatFloat(v, 'f', 2, 64))
	case a >= 0.001:
		return trim(strconv.FormatFloat(v, 'f', 3, 64))
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// Plural joins a count and its noun: "1 venue", "3 venues".
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(int64(n)) + " " + many
}
