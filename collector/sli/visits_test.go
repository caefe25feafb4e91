package sli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ghostlight/buffer/queue"
	"ghostlight/slo"
)

// checkIn and pay add outcomes to edgecore's ledger.
func (k *kit) checkIn(guest string) {
	k.m.ledger = append(k.m.ledger, Outcome{At: k.now, Kind: "checkin", Good: true, Checkin: guest})
}

func (k *kit) pay(guest string, paid bool) {
	k.m.ledger = append(k.m.ledger,
		Outcome{At: k.now, Kind: "order", Good: true, Checkin: guest},
		Outcome{At: k.now, Kind: "payment", Good: true, Paid: paid, Checkin: guest})
}

// A check-in counts in its own minute once it bought, or after 20 minutes without;
// its minute stays open for so long.
func TestVelocityCountsCheckIns(t *testing.T) {
	k := newKit(t, conversion)
	doors := k.now
	for i := range 4 {
		k.checkIn(fmt.Sprint(i))
		k.now = k.now.Add(time.Second)
	}
	k.m.ledger = append(k.m.ledger, Outcome{At: k.now, Kind: "checkin", Good: true}) // a forged ticket
	k.read(10)
	k.pass(5 * time.Minute)
	k.want(t, "conversion", 0, 0)
	k.pay("0", true)
	k.pay("1", false) // declined
	k.read(10)
	k.pass(5 * time.Minute)
	k.want(t, "conversion", 1, 1)
	if b := k.minute("conversion", doors); !b.Open {
		t.Errorf("the minute of the doors is closed while two guests may still buy: %+v", b)
	}
	k.pass(12 * time.Minute)
	k.want(t, "conversion", 1, 4)
	k.pay("2", true) // too late
	k.read(10)
	k.pass(time.Hour)
	k.want(t, "conversion", 1, 4)
	if b := k.minute("conversion", doors); b.Open || b.Total != 4 {
		t.Errorf("the minute of the doors is %+v", b)
	}
	for key := range k.m.state {
		if strings.Contains(key, "guests/minute") {
			t.Errorf("nobody is waited for, but %s is stored", key)
		}
	}
}

// Nobody is late because the agent, or edgecore, was away.
func TestVelocityWaitsForTheLedger(t *testing.T) {
	k := newKit(t, conversion)
	k.checkIn("ada")
	k.read(10)
	k.down = true
	k.now = k.now.Add(10 * time.Minute)
	k.pay("ada", true)
	k.pass(2 * time.Hour)
	k.boot()
	k.pass(time.Minute)
	k.want(t, "conversion", 0, 0)
	k.down = false
	k.read(10)
	k.pass(time.Minute)
	k.want(t, "conversion", 1, 1)
}

func TestVelocityIsBounded(t *testing.T) {
	k := newKit(t, conversion)
	for i := range mostGuests + 5 {
		k.checkIn(fmt.Sprint(i))
	}
	k.read(mostGuests + 5)
	k.pass(time.Hour)
	k.want(t, "conversion", 0, mostGuests)
	if k.book.refused[tooManyGuests] != 5 {
		t.Errorf("refused %v", k.book.refused)
	}
}

// A venue is measured against what it sold itself; before it sold enough nothing
// counts.
func TestBaselineMeasuresAgainstTheDaysBefore(t *testing.T) {
	k := newKit(t, usual)
	evening := func(guests, oneIn int) {
		for i := range guests {
			guest := fmt.Sprint(k.now.Unix(), "-", i)
			k.checkIn(guest)
			if i%oneIn == 0 {
				k.pay(guest, true)
			}
			k.now = k.now.Add(40 * time.Second)
			k.read(10)
		}
		k.pass(time.Minute)
		if b := k.minute("usual", k.now.Add(-10*time.Minute)); !b.Open {
			t.Errorf("a minute whose guests may still buy is closed: %+v", b)
		}
		for range 80 {
			k.pass(time.Minute)
			k.boot() // sales that are left over outlive the agent
		}
		k.pass(19 * time.Hour)
	}
	evening(100, 3) // 34 sales: nothing to be measured against yet
	k.want(t, "usual", 0, 0)
	evening(90, 3) // as usual
	if g, n, _ := k.m.sum("usual"); n != 90 || g < 88 {
		t.Errorf("an evening as usual counts %d of %d", g, n)
	}
	before, _, _ := k.m.sum("usual")
	evening(90, 6) // half as much
	if g, n, _ := k.m.sum("usual"); n != 180 || g-before < 43 || g-before > 50 {
		t.Errorf("an evening with half the sales adds %d good, %d in all", g-before, n)
	}
	k.pass(96 * time.Hour) // away for longer than the baseline looks back
	evening(30, 1)
	if _, n, _ := k.m.sum("usual"); n != 180 {
		t.Errorf("counts %d with nothing to be measured against", n)
	}
}

// Outcomes that could not be stored were not read: nobody is late by them.
func TestVelocityIsNotLateByWhatWasNotStored(t *testing.T) {
	k := newKit(t, conversion)
	k.checkIn("ada")
	k.read(1)
	k.now = k.now.Add(10 * time.Minute)
	k.pay("ada", true)
	k.now = k.now.Add(time.Hour)
	k.checkIn("ben")
	k.down = true
	k.m.fail = queue.ErrFull
	if k.read(10) {
		t.Fatal("a full buffer took outcomes")
	}
	k.m.fail = nil
	k.pass(time.Minute)
	k.down = false
	k.read(10)
	k.pass(time.Minute)
	k.want(t, "conversion", 1, 1)
}

// When guests that are stored cannot be read again, outcomes wait where they are.
func TestGuestsThatCannotBeReadAreWaitedFor(t *testing.T) {
	k := newKit(t, conversion)
	k.checkIn("ada")
	k.read(10)
	k.pay("ada", true)
	unreadable := errors.New("input/output error")
	load := k.book.o.Load
	k.book.o.Load = func(string) ([]byte, error) { return nil, unreadable }
	k.m.fail = queue.ErrFull
	if k.read(10) {
		t.Fatal("a full buffer took outcomes")
	}
	k.m.fail = nil
	if err := k.book.Outcomes(context.Background(), k.m.ledger[1:], queue.Commit{}); !errors.Is(err, unreadable) {
		t.Fatalf("outcomes: %v", err)
	}
	k.book.o.Load = load
	k.read(10)
	k.pass(time.Minute)
	k.want(t, "conversion", 1, 1)
}

// The centre's objectives are announced, and count nothing here.
func TestCentralObjectivesAreOnlyAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		b, err := New(Options{Objectives: []slo.Objective{contact, payments, recovery}, Commit: m, Load: m.load, OutcomesSeen: func() (time.Duration, bool) { return 0, true }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if err := b.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if m.kinds["slo.objective in revenue"] != 3 {
			t.Errorf("stored %v", m.kinds)
		}
		for i, o := range b.Objectives() {
			buckets, err := b.Buckets(i, 0, slo.MinuteOf(time.Now()))
			if counts := len(buckets) > 0; err != nil || counts == o.Indicator.Central() {
				t.Errorf("%s has %d buckets, %v", o.Name, len(buckets), err)
			}
		}
		for _, bucket := range m.buckets {
			if bucket.Objective != "payments" {
				t.Errorf("%+v", bucket)
			}
		}
	})
}

// Who asks hears every bucket that was stored, in order, and may look things up.
func TestToldFollowsWhatIsStored(t *testing.T) {
	m := newMemory(t)
	now := slo.MinuteStart(28_000_000)
	heard := map[string]slo.Bucket{}
	var b *Book
	var err error
	b, err = New(Options{
		Objectives: []slo.Objective{walks, payments}, Commit: m, Load: m.load, Now: func() time.Time { return now },
		Told: func(o slo.Objective, buckets []slo.Bucket) {
			if _, err := b.Buckets(1, 0, 1); err != nil {
				t.Error(err)
			}
			for _, bucket := range buckets {
				if old, ok := heard[bucket.Key()]; bucket.Objective != o.Name || ok && !bucket.Supersedes(old) {
					t.Errorf("told %+v after %+v", bucket, old)
				}
				heard[bucket.Key()] = bucket
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		m.fail = nil
		if i%4 == 3 {
			m.fail = queue.ErrFull
		}
		stored := len(heard)
		err := b.Journey(t.Context(), "visit", now, true, queue.Commit{})
		if (err != nil) != (m.fail != nil) || err != nil && len(heard) != stored {
			t.Errorf("run %d: %v, %d heard", i, err, len(heard)-stored)
		}
		now = now.Add(17 * time.Second)
	}
	m.fail = nil
	if err := b.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(heard) != len(m.buckets) || len(heard) == 0 {
		t.Errorf("heard of %d minutes, stored %d", len(heard), len(m.buckets))
	}
	for key, bucket := range m.buckets {
		if heard[key] != bucket {
			t.Errorf("heard %+v, stored %+v", heard[key], bucket)
		}
	}
}

// A stop stores what is in memory, even if nothing can be read any more.
func TestSettleNeedsNoReading(t *testing.T) {
	k := newKit(t, conversion, usual, errorRate)
	k.checkIn("ada")
	k.read(10)
	k.book.o.Load = func(string) ([]byte, error) { return nil, context.Canceled }
	if err := k.book.Settle(context.Background()); err != nil {
		t.Error(err)
	}
}

// Minutes of outcomes close as far as the ledger was read: a reader that was at its end
// a while ago vouches for nothing since, for purchases and for the guests who made none.
func TestMinutesCloseAsFarAsTheLedgerIsRead(t *testing.T) {
	k := newKit(t, payments, conversion)
	start := k.now
	k.unread = 9 * time.Second
	k.pass(65 * time.Second)
	if b := k.minute("payments", start); !b.Open {
		t.Errorf("with the ledger read up to %s the first minute is %+v", k.now.Add(-k.unread).Sub(start), b)
	}
	k.unread = 4 * time.Second
	k.pass(time.Second)
	if b := k.minute("payments", start); b.Open || b.State != slo.Measured {
		t.Errorf("with the ledger read up to %s the first minute is %+v", k.now.Add(-k.unread).Sub(start), b)
	}
	// The guest of now has 20 minutes, and edgecore 30 s.
	k.checkIn("late")
	k.read(1)
	k.unread = 10 * time.Second
	k.pass(20*time.Minute + 35*time.Second)
	k.want(t, "conversion", 0, 0)
	k.pass(10 * time.Second)
	k.want(t, "conversion", 0, 1)
}
