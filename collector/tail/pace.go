package tail

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Consistent probability sampling as OpenTelemetry specifies it: a trace's
// randomness R is the low 56 bits of its id, a sampler of probability p keeps it if
// R >= T = (1-p) * 2^56, and writes T to the tracestate as "ot=th:HEX", so that
// each kept span stands for 1 / (1 - T/2^56) of its kind.
// Source: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
const (
	randomBits = 56
	everything = 1 << randomBits
	// leastChance keeps the estimate unbiased: nothing is sampled with 0.
	leastChance = 1.0 / (1 << 14)
	// precision is how many bits of a threshold are used: five hex digits.
	precision = 20
	smoothing = 30 * time.Second // of the offered rate
)

func randomness(id pcommon.TraceID) uint64 {
	return binary.BigEndian.Uint64(id[8:]) & (everything - 1)
}

// thresholdOf is the threshold of a probability from 0 to 1.
func thresholdOf(p float64) uint64 {
	p = min(1, max(leastChance, p))
	const unit = 1 << (randomBits - precision)
	return uint64((1-p)*(1<<precision)) * unit
}

// encodeThreshold writes a threshold as the value of th.
func encodeThreshold(t uint64) string {
	if t == 0 {
		return "0"
	}
	s := strconv.FormatUint(t, 16)
	return strings.TrimRight(strings.Repeat("0", randomBits/4-len(s))+s, "0")
}

// upstreamThreshold reads the threshold that a sender sampled with; 0 if none.
func upstreamThreshold(tracestate string) uint64 {
	if tracestate == "" {
		return 0
	}
	for part := range strings.SplitSeq(vendor(tracestate), ";") {
		if th, ok := strings.CutPrefix(part, "th:"); ok && len(th) >= 1 && len(th) <= randomBits/4 {
			if v, err := strconv.ParseUint(th+strings.Repeat("0", randomBits/4-len(th)), 16, 64); err == nil {
				return v
			}
		}
	}
	return 0
}

// withThreshold writes th into the ot member of a tracestate, which moves to the
// front as W3C asks of a member that changes.
func withThreshold(tracestate string, t uint64) string {
	parts := []string{"th:" + encodeThreshold(max(t, upstreamThreshold(tracestate)))}
	for part := range strings.SplitSeq(vendor(tracestate), ";") {
		if part != "" && !strings.HasPrefix(part, "th:") {
			parts = append(parts, part)
		}
	}
	members := []string{"ot=" + strings.Join(parts, ";")}
	for member := range strings.SplitSeq(tracestate, ",") {
		member = strings.TrimSpace(member)
		if member != "" && !strings.HasPrefix(member, "ot=") && len(members) < 32 {
			members = append(members, member)
		}
	}
	return strings.Join(members, ",")
}

// vendor is the value of a tracestate's ot member.
func vendor(tracestate string) string {
	for member := range strings.SplitSeq(tracestate, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(member), "ot="); ok {
			return v
		}
	}
	return ""
}

// A bucket is an allowance of bytes a minute that saves up a minute's worth.
type bucket struct {
	perMinute float64
	tokens    float64
	at        time.Time
}

func newBucket(perMinute int64, now time.Time) bucket {
	return bucket{perMinute: float64(perMinute), tokens: float64(perMinute), at: now}
}

func (b *bucket) refill(now time.Time) time.Duration {
	passed := max(0, now.Sub(b.at))
	b.at = now
	b.tokens = min(b.perMinute, b.tokens+b.perMinute*passed.Minutes())
	return passed
}

// spend takes bytes; the debt is at most a minute's worth.
func (b *bucket) spend(n int64) { b.tokens = max(-b.perMinute, b.tokens-float64(n)) }

// pace turns a budget into a probability: what the offered rate of late allows,
// and never more than is left of the allowance.
type pace struct {
	bucket
	rate      float64 // offered, bytes a minute, smoothed
	offered   float64 // bytes since the last turn
	chance    float64
	threshold uint64
}

func newPace(perMinute int64, now time.Time) pace {
	return pace{bucket: newBucket(perMinute, now), chance: 1}
}

// offer notes bytes that were decided between turns.
func (p *pace) offer(n int64) { p.offered += float64(n) }

// turn sets the probability for the traces that are decided now, offered bytes in
// all.
func (p *pace) turn(now time.Time, offered int64) {
	passed := p.refill(now)
	p.offer(offered)
	if passed > 0 {
		weight := 1 - math.Exp(-passed.Seconds()/smoothing.Seconds())
		p.rate += weight * (p.offered/passed.Minutes() - p.rate)
		p.offered = 0
	}
	p.chance = 1
	if p.rate > p.perMinute {
		p.chance = p.perMinute / p.rate
	}
	// What is decided until the next turn, early decisions included, must not
	// take more than is left.
	if next := max(float64(offered), p.rate*tick.Minutes()); next > p.tokens {
		p.chance = min(p.chance, max(0, p.tokens)/max(1, next))
	}
	p.threshold = thresholdOf(p.chance)
}
