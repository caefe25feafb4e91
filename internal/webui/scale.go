package webui

import (
	"math"
	"time"
)

// ticks returns three to six round values that cover [lo, hi].
func ticks(lo, hi float64) []float64 {
	if !(hi > lo) {
		hi = lo + 1
	}
	raw := (hi - lo) / 4
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	step := mag
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if step = m * mag; step >= raw {
			break
		}
	}
	var out []float64
	first := math.Floor(lo/step+1e-9) * step
	for i := range 12 {
		v := first + float64(i)*step
		if v == 0 {
			v = 0 // no negative zero
		}
		out = append(out, v)
		if v >= hi-step*1e-9 {
			break
		}
	}
	return out
}

// timeSteps are the distances between labels of a time axis.
var timeSteps = []time.Duration{
	5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
	15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour,
}

// timeTicks returns at most n moments, Unix milliseconds, on round steps within
// [from, to], and the form their labels take.
func timeTicks(from, to int64, n int) ([]int64, string) {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if (to-from)/s.Milliseconds() < int64(n) {
			step = s
			break
		}
	}
	form := "hm"
	switch day := (24 * time.Hour); {
	case step < time.Minute:
		form = "hms"
	case step >= day:
		form = "day"
	case to-from > day.Milliseconds():
		form = "dayhm" // the hour alone would say the same of several days
	}
	ms := step.Milliseconds()
	var out []int64
	for t := (from + ms - 1) / ms * ms; t <= to && len(out) < n; t += ms {
		out = append(out, t)
	}
	return out, form
}
