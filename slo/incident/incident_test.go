package incident

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

var (
	t0       = time.Date(2026, 7, 4, 20, 0, 0, 0, time.UTC)
	checkout = Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: Objective, Name: "checkout-success"}
)

func at(m int) int64 { return t0.Add(time.Duration(m) * time.Minute).UnixMilli() }

// mark is one of the owner, for the spell that began at a minute.
func mark(st Stage, spell, m int) Mark {
	return Mark{Stage: st, SpellMS: at(spell), AtMS: at(m), Source: Node}
}

// lasting is an incident that failed in one minute and reached parity in another; to
// 0 means that it goes on.
func lasting(s Scope, from, to int) Incident {
	i := New(s, t0.Add(time.Duration(from)*time.Minute))
	if to != 0 {
		i = i.Mark(Mark{Stage: Parity, SpellMS: at(from), AtMS: at(to), Source: s.Owner()})
	}
	return i
}

// facts draws some facts of one incident out of so few that two draws share many.
func facts(rt *rapid.T, name string) Incident {
	i := Incident{Scope: checkout, StartMS: at(0)}
	few := func(what string, n int) int { return rapid.IntRange(0, n).Draw(rt, what) }
	source := func() Source { return []Source{Node, Centre}[few("source", 1)] }
	for range few(name, 12) {
		m := few("minute", 3)
		switch few("sort", 8) {
		case 0:
			i = i.Rate(Severity{Urgency: []slo.Urgency{slo.Page, slo.Ticket}[few("urgency", 1)], AtMS: at(m), Source: source(), Rule: []string{"", "page/3600/300"}[few("rule", 1)]})
		case 1:
			i = i.Try(Heal{ID: "h1", Title: "restart", Result: []string{"running", "ok"}[few("result", 1)], AtMS: at(m), Revision: uint32(few("revision", 2))})
		case 2:
			i = i.Link(Link{TraceID: strings.Repeat("a", 32), AtMS: at(m)})
		case 3:
			i = i.Note(Note{By: "kim", Acknowledges: few("ack", 1) == 1, AtMS: at(m), Source: source()})
		case 4:
			i = i.Plan(Plan{FromMS: at(m), ToMS: at(m + 1 + few("length", 2))})
		case 5:
			i = i.Find(Finding{Sales: []Sales{Unaffected, Lost}[few("sales", 1)], AtMS: at(m), Revision: uint32(few("revision", 2))})
		case 6:
			i = i.Gather("inc-other")
		default:
			i = i.Mark(Mark{Stage: Stages()[few("stage", 5)], SpellMS: at(few("spell", 2)), AtMS: at(m), Source: source(), Revision: uint32(few("revision", 2))})
		}
		if few("arrives", 2) == 0 {
			i = i.Arrive(t0.Add(time.Duration(few("arrival", 3)) * time.Minute))
		}
	}
	return i
}

func merge(rt interface{ Fatal(...any) }, a, b Incident) Incident {
	out, err := Merge(a, b)
	if err != nil {
		rt.Fatal(err)
	}
	return out
}

func TestMergeIsAJoin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b, c := facts(rt, "a"), facts(rt, "b"), facts(rt, "c")
		same := func(law string, x, y Incident) {
			if diff := cmp.Diff(x, y); diff != "" {
				rt.Fatalf("not %s (-one +other):\n%s", law, diff)
			}
		}
		ab := merge(rt, a, b)
		same("commutative", ab, merge(rt, b, a))
		same("associative", merge(rt, ab, c), merge(rt, a, merge(rt, b, c)))
		same("idempotent", a, merge(rt, a, a))
		same("absorbing", ab, merge(rt, ab, a))
		same("neutral to nothing", a, merge(rt, a, Incident{Scope: a.Scope, StartMS: a.StartMS}))
		// What was known at a time is the same, whether merged before or after.
		then := t0.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "then")) * time.Minute)
		same("a set of what is known", ab.AsKnown(then), merge(rt, a.AsKnown(then), b.AsKnown(then)))
		// And an incident that travels is the same when it gets there.
		body, err := ab.Encode()
		if err != nil {
			rt.Fatal(err)
		}
		back, err := Decode(body)
		if err != nil {
			rt.Fatal(err)
		}
		same("kept by its encoding", ab, back)
	})
}

func TestOnlyTheSameIncidentMerges(t *testing.T) {
	a := New(checkout, t0)
	other := checkout
	other.Name = "token-validation"
	for _, b := range []Incident{New(other, t0), New(checkout, t0.Add(time.Minute))} {
		if _, err := Merge(a, b); !errors.Is(err, ErrDifferent) {
			t.Errorf("merged with %v at %d: %v", b.Scope, b.StartMS, err)
		}
		if a.ID() == b.ID() {
			t.Errorf("%v at %d has the same id", b.Scope, b.StartMS)
		}
	}
	// Published: a restart, another machine or another version mint the same.
	if got, want := a.ID(), "inc-e2ltzfl7hacqy7dsty7lvcwt"; got != want {
		t.Errorf("id is %s, want %s", got, want)
	}
}

func TestStages(t *testing.T) {
	i := New(checkout, t0)
	type want struct {
		stage Stage
		open  bool
	}
	for _, step := range []struct {
		name string
		do   func(Incident) Incident
		want want
	}{
		{"failed", func(i Incident) Incident { return i }, want{Failed, true}},
		{"detected", func(i Incident) Incident { return i.Mark(mark(Detected, 0, 2)) }, want{Detected, true}},
		{"taken on", func(i Incident) Incident {
			return i.Note(Note{By: "kim", Text: "on it", Acknowledges: true, AtMS: at(5), Source: Centre})
		}, want{Acknowledged, true}},
		{"a remark", func(i Incident) Incident { return i.Note(Note{By: "bo", AtMS: at(3), Source: Centre}) }, want{Acknowledged, true}},
		{"mitigated", func(i Incident) Incident { return i.Mark(mark(Mitigated, 0, 8)) }, want{Mitigated, true}},
		{"parity", func(i Incident) Incident { return i.Mark(mark(Parity, 0, 12)) }, want{Parity, false}},
		{"closed", func(i Incident) Incident { return i.Mark(mark(Closed, 0, 13)) }, want{Closed, false}},
		{"fails again", func(i Incident) Incident { return Fail(&i, checkout, t0.Add(14*time.Minute), 5*time.Minute) }, want{Acknowledged, true}},
		{"parity again", func(i Incident) Incident { return i.Mark(mark(Parity, 14, 20)) }, want{Parity, false}},
		{"closed again", func(i Incident) Incident { return i.Mark(mark(Closed, 14, 60)) }, want{Closed, false}},
	} {
		i = step.do(i)
		if diff := cmp.Diff(step.want, want{i.Stage(), i.Open()}, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if got, want := i.ID(), New(checkout, t0).ID(); got != want {
		t.Errorf("the incident became %s, it was %s", got, want)
	}
	if diff := cmp.Diff([]Spell{
		{StartMS: at(0), FailedMS: at(0), DetectedMS: at(2), MitigatedMS: at(8), ParityMS: at(12)},
		{StartMS: at(14), FailedMS: at(14), ParityMS: at(20)},
	}, i.Spells()); diff != "" {
		t.Errorf("spells (-want +got):\n%s", diff)
	}
	if ms, ok := i.When(Mitigated); !ok || ms != at(20) {
		t.Errorf("mitigated at %d %v: a spell at parity sells", ms, ok)
	}
	if ms, _ := i.When(Acknowledged); ms != at(5) {
		t.Errorf("acknowledged at %d, want %d", ms, at(5))
	}
}

func TestTheOwnerIsBelievedAndItsLatestWord(t *testing.T) {
	i := New(checkout, t0).
		Mark(Mark{Stage: Parity, SpellMS: at(0), AtMS: at(30), Source: Centre, Revision: 9}).
		Mark(mark(Parity, 0, 10))
	if ms, _ := i.When(Parity); ms != at(10) {
		t.Errorf("parity at %d, want the node's word %d", ms, at(10))
	}
	later := mark(Parity, 0, 20)
	later.Revision = 1
	if ms, _ := i.Mark(later).When(Parity); ms != at(20) {
		t.Errorf("parity at %d, want the higher revision %d", ms, at(20))
	}
	dark := Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: Darkness}
	d := New(dark, t0).Mark(mark(Parity, 0, 5)).Mark(Mark{Stage: Parity, SpellMS: at(0), AtMS: at(7), Source: Centre})
	if ms, _ := d.When(Parity); ms != at(7) {
		t.Errorf("darkness ended at %d, want the centre's word %d", ms, at(7))
	}
	heals := i.Try(Heal{ID: "h", Title: "restart", Result: "running", AtMS: at(1)}).
		Try(Heal{ID: "h", Title: "restart", Result: "journey passes", AtMS: at(2), Revision: 1}).
		Try(Heal{ID: "g", Title: "repair", Result: "failed", AtMS: at(0)}).Tried()
	if diff := cmp.Diff([]Heal{
		{ID: "g", Title: "repair", Result: "failed", AtMS: at(0)},
		{ID: "h", Title: "restart", Result: "journey passes", AtMS: at(2), Revision: 1},
	}, heals); diff != "" {
		t.Errorf("heals (-want +got):\n%s", diff)
	}
}

func TestFindingsAndUrgency(t *testing.T) {
	i := New(Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: Darkness}, t0)
	if _, ok := i.Finding(); ok || i.Urgency() != slo.Ticket {
		t.Error("nothing is known yet")
	}
	i = i.Rate(Severity{Urgency: slo.Page, AtMS: at(1), Source: Centre}).Rate(Severity{Urgency: slo.Ticket, AtMS: at(9), Source: Centre}).
		Find(Finding{Sales: Lost, Good: 10, Bad: 3, AtMS: at(40), Revision: 2}).
		Find(Finding{Sales: Unaffected, Good: 10, Pending: 4, AtMS: at(41), Revision: 1}).Arrive(t0.Add(time.Hour))
	if f, ok := i.Finding(); !ok || f.Sales != Lost || f.Bad != 3 {
		t.Errorf("finding %+v %v", f, ok)
	}
	if i.Urgency() != slo.Page {
		t.Error("what once woke somebody is no ticket")
	}
	if before := i.AsKnown(t0.Add(time.Hour - time.Millisecond)); len(before.Findings)+len(before.Severities) != 0 {
		t.Errorf("known before it arrived: %+v", before)
	}
}

// Each spell wakes once, by the word of the owner, whatever order it was told in; a
// ticket wakes nobody.
func TestWakings(t *testing.T) {
	page := func(m int, rule, event string) Severity {
		return Severity{Urgency: slo.Page, AtMS: at(m), Source: Node, Rule: rule, Event: event}
	}
	i := New(checkout, t0).Rate(Severity{Urgency: slo.Ticket, AtMS: at(1), Source: Node}).
		Rate(page(9, "page/21600/1800", "")).Rate(page(3, "event/page", "gig")).
		Rate(Severity{Urgency: slo.Page, AtMS: at(2), Source: Centre})
	want := []Waking{{Severity: page(3, "event/page", "gig"), SpellMS: at(0)}}
	if diff := cmp.Diff(want, i.Wakings()); diff != "" {
		t.Errorf("while it goes on (-want +got):\n%s", diff)
	}
	i = i.Mark(mark(Parity, 0, 20))
	again := Fail(&i, checkout, t0.Add(22*time.Minute), 5*time.Minute).Rate(page(23, "", "")).
		Mark(mark(Closed, 22, 40))
	want[0].OverMS = at(20)
	want = append(want, Waking{Severity: page(23, "", ""), SpellMS: at(22), OverMS: at(40)})
	if diff := cmp.Diff(want, again.Wakings()); diff != "" {
		t.Errorf("it failed again and was closed (-want +got):\n%s", diff)
	}
	// A window that saw it late pages when all is over.
	late := New(checkout, t0).Mark(mark(Parity, 0, 5)).Rate(page(7, "page/3600/300", ""))
	if w := late.Wakings(); len(w) != 1 || w[0].OverMS != at(7) {
		t.Errorf("woken after its end: %+v, want over as it woke", w)
	}
}

// What was told before rules were is read as it was meant, and merges with what says
// more.
func TestRecordsWithoutARuleAreRead(t *testing.T) {
	i := New(checkout, t0).Rate(Severity{Urgency: slo.Page, AtMS: at(1), Source: Node})
	body, err := i.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "rule") || strings.Contains(string(body), "event") {
		t.Errorf("what is not known is told: %s", body)
	}
	old, err := Heard(i.ID(), body, "north", "soho", "edge-1")
	if diff := cmp.Diff(i, old); diff != "" || err != nil {
		t.Fatalf("read (-told +read):\n%s %v", diff, err)
	}
	both := merge(t, old, i.Rate(Severity{Urgency: slo.Page, AtMS: at(4), Source: Node, Rule: "page/3600/300"}))
	if w := both.Wakings(); len(w) != 1 || w[0].Rule != "" || w[0].AtMS != at(1) {
		t.Errorf("woken %+v, want once, by no rule that is known", w)
	}
}

func TestPlannedWindowsClipTheClock(t *testing.T) {
	i := lasting(checkout, 0, 60)
	for _, p := range [][2]int{{-10, 5}, {20, 30}, {25, 35}, {55, 90}} { // 5, then 20 to 35, then 5 minutes
		i = i.Plan(Plan{FromMS: at(p[0]), ToMS: at(p[1])})
	}
	counted, planned := i.Lasted(t0.Add(99 * time.Hour))
	if counted != 35*time.Minute || planned != 25*time.Minute {
		t.Errorf("counted %s, planned %s; want 35m and 25m", counted, planned)
	}
	if counted, _ := lasting(checkout, 0, 0).Lasted(t0.Add(-time.Hour)); counted != 0 {
		t.Errorf("before it failed it lasted %s", counted)
	}
}

func TestHeardIsWhatANodeMaySay(t *testing.T) {
	i := New(checkout, t0).Note(Note{By: "site lead", Acknowledges: true, AtMS: at(1), Source: Node})
	forged := i.Mark(Mark{Stage: Closed, SpellMS: at(0), AtMS: at(2), Source: Centre}).
		Plan(Plan{FromMS: at(0), ToMS: at(9)}).Find(Finding{Sales: Unaffected, AtMS: at(3)}).Arrive(t0.Add(-time.Hour))
	body, err := forged.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Heard(i.ID(), body, "north", "soho", "edge-1")
	if diff := cmp.Diff(i, got); diff != "" || err != nil {
		t.Errorf("heard (-want +got):\n%s %v", diff, err)
	}
	if _, err := Heard("inc-another", body, "north", "soho", "edge-1"); !errors.Is(err, ErrMalformed) {
		t.Errorf("with another's key: %v", err)
	}
	if _, err := Heard(i.ID(), body, "north", "soho", "edge-2"); !errors.Is(err, ErrMalformed) {
		t.Errorf("from another node: %v", err)
	}
	// Nobody can say of themselves that they are not heard.
	dark := New(Scope{Region: "north", Venue: "soho", Node: "edge-1", Cause: Darkness}, t0)
	if body, err = dark.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err := Heard(dark.ID(), body, "north", "soho", "edge-1"); !errors.Is(err, ErrMalformed) {
		t.Errorf("of its own darkness: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good, err := New(checkout, t0).Encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		t.Helper()
		if !strings.Contains(string(good), old) {
			t.Fatalf("%s does not hold %s", good, old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for _, tt := range []struct {
		name, body string
		want       error
	}{
		{"nothing", "", ErrMalformed},
		{"cut short", string(good[:len(good)-1]), ErrMalformed},
		{"two", string(good) + "{}", ErrMalformed},
		{"another version", change(`"v":1`, `"v":2`), ErrMalformed},
		{"an unknown field", change(`"v":1`, `"v":1,"more":1`), ErrMalformed},
		{"an unknown stage", change(`"failed"`, `"exploded"`), ErrMalformed},
		{"an unknown source", change(`"source":"node"`, `"source":"moon"`), ErrMalformed},
		{"an unknown cause", change(`"objective"`, `"weather"`), ErrMalformed},
		{"no name", change(`,"name":"checkout-success"`, ``), ErrMalformed},
		{"no start", change(`"start_ms":1783195200000`, `"start_ms":0`), ErrMalformed},
		{"a time out of range", change(`"at_ms":1783195200000`, `"at_ms":-5`), ErrMalformed},
		{"a name too long", change(`checkout-success`, strings.Repeat("x", MaxName+1)), ErrMalformed},
		{"too many bytes", string(good) + strings.Repeat(" ", MaxBytes), ErrLimit},
	} {
		if _, err := Decode([]byte(tt.body)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	many := New(checkout, t0)
	for n := range MaxFacts + 1 {
		many.Notes = append(many.Notes, Known[Note]{Fact: Note{By: "kim", AtMS: at(n), Source: Node}})
	}
	if _, err := many.Encode(); !errors.Is(err, ErrLimit) {
		t.Errorf("encoded %d notes: %v", len(many.Notes), err)
	}
	half := New(checkout, t0)
	half.Notes = many.Notes[:MaxFacts]
	if _, err := Merge(half, New(checkout, t0).Note(Note{By: "bo", AtMS: at(0), Source: Node})); !errors.Is(err, ErrLimit) {
		t.Errorf("merged past the limit: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	body, err := New(checkout, t0).Note(Note{By: "kim", AtMS: at(1), Source: Node}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		i, err := Decode(body)
		if err != nil {
			return
		}
		again, err := json.Marshal(envelope{version, i})
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again)
		if diff := cmp.Diff(i, back); diff != "" || (err != nil && !errors.Is(err, ErrLimit)) {
			t.Errorf("decoded twice (-first +second):\n%s %v", diff, err)
		}
		if st := i.Stage(); i.Open() && (st == Parity || st == Closed) {
			t.Errorf("open at stage %s: %s", st, body)
		}
	})
}
