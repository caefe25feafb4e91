package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/internal/dataset"
)

// deltaGenerateCmd invents a node, so that the codec can be measured on data that
// nobody has seen. The same seed gives the same file.
type deltaGenerateCmd struct {
	File     string        `arg:"" help:"File to write, in the format that measure reads."`
	Seed     uint64        `default:"1" help:"Which node to invent."`
	Minutes  int           `default:"60" help:"How long it was scraped."`
	Interval time.Duration `default:"15s" help:"Time from one scrape to the next."`
}

func (c *deltaGenerateCmd) Run() error {
	if c.Minutes < 1 || c.Minutes > 7*24*60 {
		return fmt.Errorf("--minutes is %d; it must be 1 to %d", c.Minutes, 7*24*60)
	}
	if c.Interval < time.Second || c.Interval > time.Hour {
		return fmt.Errorf("--interval is %s; it must be 1s to 1h", c.Interval)
	}
	set, err := inventNode(c.Seed, time.Duration(c.Minutes)*time.Minute, c.Interval)
	if err != nil {
		return fmt.Errorf("invent node %d: %w", c.Seed, err)
	}
	return dump(c.File, set, []delta.Batch{set.Batch(set.Scrapes)})
}

// An inventor makes up a node: what it has, how it begins, and how each value
// goes on from one scrape to the next.
type inventor struct {
	rng  *rand.Rand
	set  *dataset.Set
	next []func() float64 // by series
	now  int64            // Unix milliseconds
	busy float64          // how busy the venue is, about 1
	step float64          // seconds between scrapes
	err  error
}

func inventNode(seed uint64, length, interval time.Duration) (*dataset.Set, error) {
	v := &inventor{
		rng: rand.New(rand.NewPCG(seed, 0x676c)), set: dataset.New(),
		now: 1_790_000_000_000, step: interval.Seconds(),
	}
	site := fmt.Sprintf(`instance="till-%d:9464",job="venue",site="site-%d"`, v.rng.IntN(90), v.rng.IntN(900))
	v.counters(site)
	v.gauges(site)
	v.histograms(site)
	v.still(site)
	if v.err != nil {
		return nil, v.err
	}
	for at := time.Duration(0); at < length; at += interval {
		v.scrape(at, length)
	}
	return v.set, nil
}

// scrape asks every series for its value, some milliseconds after its time.
func (v *inventor) scrape(at, length time.Duration) {
	evening := math.Sin(math.Pi * float64(at) / float64(length))
	v.busy = 0.2 + 1.6*evening + 0.2*v.rng.Float64()
	v.now = 1_790_000_000_000 + at.Milliseconds() + int64(math.Abs(v.rng.NormFloat64()*3+4))
	sc := dataset.Scrape{Time: v.now}
	for i, next := range v.next {
		sc.Series, sc.Values = append(sc.Series, i), append(sc.Values, next())
	}
	v.set.Append(sc)
}

// add declares a series; pairs are names and values of its own labels.
func (v *inventor) add(kind, name, site string, next func() float64, pairs ...string) {
	var b strings.Builder
	b.WriteString(name + "{" + site)
	for i := 0; i < len(pairs); i += 2 {
		_, _ = fmt.Fprintf(&b, ",%s=%q", pairs[i], pairs[i+1]) // never fails
	}
	b.WriteString("}")
	v.err = errors.Join(v.err, v.set.Declare(strconv.Itoa(len(v.next)+1), kind, b.String()))
	v.next = append(v.next, next)
}

// poisson draws how many of something happen, mean of them on average.
func (v *inventor) poisson(mean float64) float64 {
	if mean > 60 {
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*v.rng.NormFloat64()))
	}
	n, p := 0.0, v.rng.Float64()
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= v.rng.Float64()
	}
	return n
}

// counters count what guests do, and the bytes and minor units that it comes to.
func (v *inventor) counters(site string) {
	for i := range 16 {
		for _, method := range []string{"card", "cash", "wallet", "voucher"} {
			rate, sold, cents := math.Exp(v.rng.NormFloat64()-4.5), float64(v.rng.IntN(9000)), float64(v.rng.IntN(9_000_000))
			till := strconv.Itoa(i + 1)
			v.add("counter", "venue_sales_total", site, func() float64 {
				n := v.poisson(rate * v.busy * v.step)
				sold += n
				for range int(n) {
					cents += 50 * float64(3+v.rng.IntN(60))
				}
				return sold
			}, "method", method, "till", till)
			v.add("counter", "venue_sales_minor_units_total", site, func() float64 { return cents }, "method", method, "till", till)
		}
	}
	for i := range 24 {
		rate, packets, octets := math.Exp(v.rng.NormFloat64()*2+1), float64(v.rng.IntN(1<<30)), float64(v.rng.IntN(1<<40))
		port := "ge-" + strconv.Itoa(i)
		v.add("counter", "venue_port_packets_total", site, func() float64 {
			n := v.poisson(rate * v.busy * v.step)
			packets, octets = packets+n, octets+math.Round(n*(64+v.rng.ExpFloat64()*500))
			return packets
		}, "port", port)
		v.add("counter", "venue_port_bytes_total", site, func() float64 { return octets }, "port", port)
	}
	for i := range 12 {
		seconds, load := v.rng.Float64()*1e5, v.rng.Float64()
		v.add("counter", "venue_worker_busy_seconds_total", site, func() float64 {
			seconds += v.step * load * v.busy * v.rng.Float64() / 2
			return math.Round(seconds*100) / 100
		}, "worker", strconv.Itoa(i))
	}
}

// gauges drift about where they began; instruments round to some decimals, and a
// few to none.
func (v *inventor) gauges(site string) {
	drift := func(name string, n, decimals int, about, width float64) {
		p := math.Pow10(decimals)
		for i := range n {
			x := about + width*v.rng.NormFloat64()
			home := x
			v.add("gauge", name, site, func() float64 {
				x += (home-x)/20 + width*v.rng.NormFloat64()/12
				return math.Round(x*p) / p
			}, "unit", strconv.Itoa(i))
		}
	}
	drift("venue_round_trip_milliseconds", 12, 3, 24, 6)
	drift("venue_temperature_celsius", 14, 1, 31, 5)
	drift("venue_supply_volts", 8, 2, 12.4, 0.2)
	drift("venue_cache_hit_ratio", 6, 4, 0.93, 0.02)
	drift("venue_memory_free_bytes", 4, 0, 3e9, 2e8)
	for i := range 5 {
		v.add("gauge", "venue_clock_phase", site, v.rng.NormFloat64, "source", strconv.Itoa(i))
	}
	for i := range 20 {
		v.add("gauge", "venue_queue_depth", site, func() float64 { return v.poisson(v.busy * float64(i%5) / 3) }, "lane", strconv.Itoa(i))
	}
}

// histograms are classic ones; their sums add durations in whole nanoseconds, as
// seconds, one after the other.
func (v *inventor) histograms(site string) {
	bounds := []float64{0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, math.Inf(1)}
	for i := range 18 {
		counts, sum, rate, scale := make([]float64, len(bounds)), 0.0, v.rng.ExpFloat64()/8, math.Exp(v.rng.NormFloat64()-4)
		observe := func() float64 {
			for range int(v.poisson(rate * v.busy * v.step)) {
				x := time.Duration(scale * math.Exp(v.rng.NormFloat64()/2) * 1e9).Seconds()
				sum += x
				for b := range bounds {
					if x <= bounds[b] {
						counts[b]++
					}
				}
			}
			return counts[0]
		}
		route := "/r/" + strconv.Itoa(i)
		for b := range bounds {
			next := func() float64 { return counts[b] }
			if b == 0 {
				next = observe
			}
			v.add("histogram", "venue_request_seconds_bucket", site, next, "le", strconv.FormatFloat(bounds[b], 'g', -1, 64), "route", route)
		}
		v.add("histogram", "venue_request_seconds_sum", site, func() float64 { return sum }, "route", route)
		v.add("histogram", "venue_request_seconds_count", site, func() float64 { return counts[len(counts)-1] }, "route", route)
	}
}

// still are series that seldom change or never: settings, flags, and when
// something was last seen.
func (v *inventor) still(site string) {
	for i := range 260 {
		x := float64(v.rng.IntN(5) * v.rng.IntN(4096))
		v.add("gauge", "venue_setting_"+strconv.Itoa(i/8), site, func() float64 { return x }, "part", strconv.Itoa(i%8))
	}
	for i := range 60 {
		up := 1.0
		v.add("gauge", "venue_device_up", site, func() float64 {
			if v.rng.IntN(400) == 0 {
				up = 1 - up
			}
			return up
		}, "device", strconv.Itoa(i))
	}
	for i := range 24 {
		seen := float64(v.now - int64(v.rng.IntN(900_000)))
		v.add("gauge", "venue_last_seen_timestamp_seconds", site, func() float64 {
			if v.rng.IntN(3+i/4) == 0 {
				seen = float64(v.now - int64(v.rng.IntN(2000)))
			}
			return seen / 1000
		}, "device", strconv.Itoa(i))
	}
}
