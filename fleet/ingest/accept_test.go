package ingest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

func TestRepeatsAndDisorderCountOnce(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	const blocks, each = 60, 3
	var bodies [][]byte
	for seq := range buffer.Seq(blocks) {
		body := block(t, buffer.Revenue, seq+1, each, delta.Record{Kind: "note", Key: fmt.Sprint(seq), Body: []byte("x")})
		bodies = append(bodies, body, body, body)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	var wg sync.WaitGroup
	for chunk := range slices.Chunk(bodies, len(bodies)/6) {
		wg.Go(func() {
			for _, body := range chunk {
				r.send(body)
			}
		})
	}
	wg.Wait()
	r.settle()
	want := map[buffer.Source]map[buffer.Lane]Accepted{soho: {buffer.Revenue: {Blocks: blocks, Samples: blocks * each, Records: blocks}}}
	if diff := cmp.Diff(want, r.Accepted()); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if got := r.series.count(); got != blocks*each {
		t.Errorf("the store holds %d samples, want %d", got, blocks*each)
	}
	status, answer := r.post(wire.BlocksPath, sohoToken, bodies[0])
	var ack wire.Ack
	if err := json.Unmarshal([]byte(answer), &ack); err != nil || status != http.StatusOK {
		t.Fatal(status, answer, err)
	}
	if diff := cmp.Diff(wire.Ack{Session: session, Lane: buffer.Revenue, Ranges: []wire.Range{{First: 1, Last: blocks}}, Duplicate: true}, ack); diff != "" {
		t.Errorf("ack (-want +got):\n%s", diff)
	}
	var runs int
	if err := r.journal.read.QueryRow(`SELECT count(*) FROM ranges`).Scan(&runs); err != nil || runs != 1 {
		t.Errorf("%d runs are kept (%v), want 1", runs, err)
	}
}

// TestRanges compares the merged runs with a plain set of sequences.
func TestRanges(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	lanes := buffer.Lanes()
	var number uint64
	rapid.Check(t, func(t *rapid.T) {
		number++
		source := buffer.Source{Region: "r", Venue: "v", Node: fmt.Sprint(number)}
		lane := rapid.SampledFrom(lanes).Draw(t, "lane")
		seqs := rapid.SliceOfN(rapid.Uint64Range(1, 30), 1, 60).Draw(t, "seqs")
		held := map[uint64]bool{}
		for chunk := range slices.Chunk(seqs, rapid.IntRange(1, 20).Draw(t, "group")) {
			var posts []post
			for _, seq := range chunk {
				posts = append(posts, post{source: source, body: []byte{1}, header: buffer.Header{Session: session, Lane: lane, Seq: buffer.Seq(seq), Samples: 2}})
			}
			outcomes, err := r.journal.commit(t.Context(), posts)
			if err != nil {
				t.Fatal(err)
			}
			for i, seq := range chunk {
				if outcomes[i].err != nil || outcomes[i].duplicate != held[seq] {
					t.Fatalf("sequence %d: %+v, held before: %v", seq, outcomes[i], held[seq])
				}
				held[seq] = true
				first, last := seq, seq
				for held[first-1] {
					first--
				}
				for held[last+1] {
					last++
				}
				if want := (wire.Range{First: buffer.Seq(first), Last: buffer.Seq(last)}); outcomes[i].held != want {
					t.Fatalf("sequence %d is in %v, want %v", seq, outcomes[i].held, want)
				}
			}
		}
		want := Accepted{Blocks: int64(len(held)), Samples: 2 * int64(len(held))}
		if got := r.Accepted()[source][lane]; got != want {
			t.Fatalf("accepted %+v, want %+v", got, want)
		}
	})
}

func TestAcceptedSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	for _, seq := range []buffer.Seq{1, 2, 5} {
		r.send(block(t, buffer.Health, seq, 4))
	}
	want := r.Accepted()
	r.stop()
	r = newRig(t, dir, nil)
	if diff := cmp.Diff(want, r.Accepted()); diff != "" {
		t.Errorf("accepted (-before +after):\n%s", diff)
	}
	r.settle()
	if got := r.series.count(); got != 12 {
		t.Errorf("%d samples were applied again, want 12", got)
	}
}

func TestConflictIsRefusedAndCounted(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	r.send(block(t, buffer.Revenue, 1, 3))
	status, answer := r.post(wire.BlocksPath, sohoToken, block(t, buffer.Revenue, 1, 4))
	if status != http.StatusConflict || !strings.Contains(answer, "another content") {
		t.Errorf("answered %d: %s", status, answer)
	}
	if got := r.signs.of(r.signs.conflicts, soho); got != 1 {
		t.Errorf("%d conflicts were noted, want 1", got)
	}
	// The same name is free on another node.
	if status, answer := r.post(wire.BlocksPath, camdenToken, block(t, buffer.Revenue, 1, 4)); status != http.StatusOK {
		t.Errorf("answered %d: %s", status, answer)
	}
	if got := r.Accepted()[soho][buffer.Revenue]; got != (Accepted{Blocks: 1, Samples: 3}) {
		t.Errorf("accepted %+v", got)
	}
}

func TestMalformedHurtsOnlyItself(t *testing.T) {
	good := block(t, buffer.Detail, 7, 2)
	flipped := slices.Clone(good)
	flipped[len(flipped)-1] ^= 1
	version := slices.Clone(good)
	version[4] = 9
	header, _, err := buffer.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	lying := header
	lying.Samples++
	_, payload, _ := buffer.Open(good)
	far := header
	far.Seq = maxSeq + 1
	for _, tt := range []struct {
		name  string
		body  []byte
		want  int
		error string
	}{
		{"nothing", nil, 400, "no block header"},
		{"text", []byte(strings.Repeat("hello ", 40)), 400, "no block header"},
		{"torn", good[:len(good)-1], 400, "header says"},
		{"flipped", flipped, 400, "checksum"},
		{"other version", version, 415, "version 9"},
		{"no payload", buffer.Seal(header, nil), 422, "cannot be decoded"},
		{"junk payload", buffer.Seal(header, []byte("junk")), 422, "cannot be decoded"},
		{"wrong count", buffer.Seal(lying, payload), 422, "header says"},
		{"far sequence", buffer.Seal(far, payload), 400, "out of range"},
		{"too large", make([]byte, 64<<10+1), 413, "at most 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), func(o *Options) { o.BlockBytes = 64 << 10 })
			status, answer := r.post(wire.BlocksPath, sohoToken, tt.body)
			var refusal wire.Refusal
			if err := json.Unmarshal([]byte(answer), &refusal); err != nil {
				t.Fatalf("%v: %s", err, answer)
			}
			if status != tt.want || !strings.Contains(refusal.Error, tt.error) {
				t.Errorf("answered %d %q, want %d %q", status, refusal.Error, tt.want, tt.error)
			}
			if got := r.signs.of(r.signs.malformed, soho); got != 1 {
				t.Errorf("%d malformed blocks were noted, want 1", got)
			}
			if got := r.metric("ghostlight_fleet_blocks_refused_total"); got != 1 {
				t.Errorf("%v refusals are counted, want 1", got)
			}
			r.send(good)
			if got := r.Accepted()[soho][buffer.Detail].Samples; got != 2 {
				t.Errorf("%d samples were accepted afterwards, want 2", got)
			}
		})
	}
}

func TestOnlyNodesAreLetIn(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	for _, path := range []string{wire.BlocksPath, wire.HeartbeatPath} {
		for _, token := range []string{"", "nobody", sohoToken + "x", sohoToken[:4]} {
			if status, answer := r.post(path, token, block(t, buffer.Revenue, 1, 1)); status != http.StatusUnauthorized {
				t.Errorf("%s with token %q was answered %d: %s", path, token, status, answer)
			}
		}
	}
	if len(r.Accepted()) != 0 || r.signs.of(r.signs.heard, soho) != 0 {
		t.Error("a stranger left a trace")
	}
	if got := r.metric("ghostlight_fleet_unauthorized_total"); got != 8 {
		t.Errorf("%v strangers are counted, want 8", got)
	}
}

func TestTokensMustBeDistinct(t *testing.T) {
	for name, tokens := range map[string]map[buffer.Source]string{
		"shared": {soho: "one token", camden: "one token"},
		"empty":  {soho: ""},
	} {
		if _, err := NewTokens(tokens); err == nil {
			t.Errorf("%s tokens were taken", name)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	sent := wire.Heartbeat{Session: session, SentMS: 9, Version: "v", Lanes: map[buffer.Lane]wire.LaneStats{buffer.Revenue: {Produced: 3, Lost: map[string]int64{"x": 1}}}}
	body, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := r.post(wire.HeartbeatPath, sohoToken, body)
	if status != http.StatusOK || strings.TrimSpace(answer) != `{"received_ms":4242}` {
		t.Errorf("answered %d: %s", status, answer)
	}
	if diff := cmp.Diff([]wire.Heartbeat{sent}, r.signs.beats); diff != "" {
		t.Errorf("heartbeat (-sent +noted):\n%s", diff)
	}
	if status, _ := r.post(wire.HeartbeatPath, sohoToken, []byte("{")); status != http.StatusBadRequest {
		t.Errorf("half a heartbeat was answered %d", status)
	}
}

func TestFullJournalWithholdsAcks(t *testing.T) {
	// Room for one block: eight bytes a sample, and some for names and head.
	r := newRig(t, t.TempDir(), func(o *Options) { o.JournalBytes = 8*100 + 600 })
	r.send(block(t, buffer.Revenue, 1, 100))
	status, answer := r.post(wire.BlocksPath, sohoToken, block(t, buffer.Revenue, 2, 100))
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, "journal is full") {
		t.Fatalf("answered %d: %s", status, answer)
	}
	if got := r.signs.of(r.signs.malformed, soho); got != 0 {
		t.Error("the sender was blamed for a full journal")
	}
	r.settle()
	if err := r.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.send(block(t, buffer.Revenue, 2, 100))
}
