package tail

import (
	"cmp"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Attributes of a line that stands for several.
const (
	FoldCount = "ghostlight.fold.count" // how many lines it stands for, itself included
	FoldFirst = "ghostlight.fold.first" // time of the first of them, RFC 3339
	FoldLast  = "ghostlight.fold.last"  // and of the last
)

// fold is a line that is being counted.
type fold struct {
	body        []byte // OTLP LogsData of the first line alone
	count       int64
	first, last pcommon.Timestamp
	since       time.Time // when the first came
	turn        int64     // of those that came at one time, in which order
	failed      bool      // error or worse
}

func (f *fold) size() int64 { return int64(len(f.body)) + foldOverhead }

// Logs takes log lines, which the caller gives up. They are acknowledged to their
// sender at once; see the package comment.
func (t *Tail) Logs(ld plog.Logs) {
	now := t.o.Now()
	for _, rl := range ld.ResourceLogs().All() {
		resource := t.privacy.attributes(rl.Resource().Attributes())
		for _, sl := range rl.ScopeLogs().All() {
			resource.add(t.privacy.attributes(sl.Scope().Attributes()))
			for _, lr := range sl.LogRecords().All() {
				t.line(rl, sl, lr, now)
			}
		}
		t.mu.Lock()
		t.count.privacy.add(resource)
		t.mu.Unlock()
	}
}

// line drops one line, counts it to those like it, or begins to count.
func (t *Tail) line(rl plog.ResourceLogs, sl plog.ScopeLogs, lr plog.LogRecord, now time.Time) {
	level := severity(lr)
	if level < t.o.Logs.Severity {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.count.linesIn++
		t.count.dropLines(Severity, 1)
		return
	}
	at := lr.Timestamp()
	if at == 0 {
		at = lr.ObservedTimestamp()
	}
	if at == 0 {
		at = pcommon.NewTimestampFromTime(now)
	}
	withheld := t.privacy.line(lr)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.linesIn++
	t.count.privacy.add(withheld)
	key := t.keyOf(rl, sl, lr, level)
	if f := t.folds[key]; f != nil {
		f.count++
		f.first, f.last = min(f.first, at), max(f.last, at)
		return
	}
	body, err := (&plog.ProtoMarshaler{}).MarshalLogs(alone(rl, sl, lr))
	if err != nil {
		t.count.dropLines(Invalid, 1)
		return
	}
	t.turn++
	f := &fold{body: body, count: 1, first: at, last: at, since: now, turn: t.turn, failed: level >= plog.SeverityNumberError}
	t.folds[key] = f
	t.folded += f.size()
	for t.folded > t.o.Memory/4 || len(t.folds) > maxFolds {
		t.unfoldOldest()
	}
}

// severity is a line's level; one that tells none counts as info.
func severity(lr plog.LogRecord) plog.SeverityNumber {
	if lr.SeverityNumber() == plog.SeverityNumberUnspecified {
		return plog.SeverityNumberInfo
	}
	return lr.SeverityNumber()
}

// keyOf is equal for lines that are the same message: of the same program, level,
// template and attribute keys. Lines of a trace that is kept as evidence are folded
// only among themselves, for they are read with it.
func (t *Tail) keyOf(rl plog.ResourceLogs, sl plog.ScopeLogs, lr plog.LogRecord, level plog.SeverityNumber) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	field := func(s string) {
		h.WriteString(s)  //nolint:errcheck // a hash takes everything
		h.WriteByte(0xff) //nolint:errcheck
	}
	resource := map[string]string{}
	for k, v := range rl.Resource().Attributes().All() {
		resource[k] = v.AsString()
	}
	for _, k := range slices.Sorted(maps.Keys(resource)) {
		field(k)
		field(resource[k])
	}
	field(sl.Scope().Name())
	field(level.String())
	field(template(lr.Body().AsString()))
	var keys []string
	for k := range lr.Attributes().All() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		field(k)
	}
	if d, known := t.cache.get(lr.TraceID()); known && d.keep && d.reason != Sampled {
		id := lr.TraceID()
		field(string(id[:]))
	}
	return h.Sum64()
}

// alone is the line with its resource and scope, as one message.
func alone(rl plog.ResourceLogs, sl plog.ScopeLogs, lr plog.LogRecord) plog.Logs {
	ld := plog.NewLogs()
	to := ld.ResourceLogs().AppendEmpty()
	rl.Resource().CopyTo(to.Resource())
	scope := to.ScopeLogs().AppendEmpty()
	sl.Scope().CopyTo(scope.Scope())
	lr.CopyTo(scope.LogRecords().AppendEmpty())
	return ld
}

// unfoldDue stores the lines that were counted for long enough, the oldest first,
// so that the budget goes to them. t.mu is held.
func (t *Tail) unfoldDue(now time.Time) {
	t.lines.refill(now)
	for _, key := range t.byAge() {
		if now.Sub(t.folds[key].since) >= t.o.Logs.Fold {
			t.unfold(key)
		}
	}
}

func (t *Tail) unfoldAll() {
	for _, key := range t.byAge() {
		t.unfold(key)
	}
}

func (t *Tail) byAge() []uint64 {
	return slices.SortedFunc(maps.Keys(t.folds), func(a, b uint64) int { return cmp.Compare(t.folds[a].turn, t.folds[b].turn) })
}

func (t *Tail) unfoldOldest() {
	oldest, turn := uint64(0), int64(math.MaxInt64)
	for key, f := range t.folds {
		if f.turn < turn {
			oldest, turn = key, f.turn
		}
	}
	t.unfold(oldest)
}

// unfold hands a line on if the budget of the minute allows; errors need no budget.
func (t *Tail) unfold(key uint64) {
	f := t.folds[key]
	delete(t.folds, key)
	t.folded -= f.size()
	switch {
	case !f.failed && t.lines.tokens < float64(len(f.body)):
		t.count.dropLines(Budget, f.count)
		return
	case !t.out.add(item{logs: true, body: f.body, units: f.count, first: f.first, last: f.last}):
		t.count.dropLines(BufferFull, f.count)
		return
	}
	if !f.failed {
		t.lines.spend(int64(len(f.body)))
	}
	t.nudge()
}
