package delta_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

const goldenRecordsFile = "testdata/v2.records"

// goldenRecords are of the kinds that the dictionary knows, and of one that it does not.
func goldenRecords() delta.Batch {
	return delta.Batch{Records: []delta.Record{
		{Kind: "edge.outcomes", Key: "till:1-2", Time: 1_780_000_000_000, Body: []byte(`{"ledger":"till","outcomes":[{"seq":1,"time_ms":1780000000000,"kind":"checkin","good":true},{"seq":2,"time_ms":1780000000090,"kind":"payment","good":true,"amount_minor":1250,"currency":"EUR","method":"card"}]}`)},
		{Kind: "journey.run", Key: "revenue-path/1780000000000", Time: 1_780_000_000_031, Body: []byte(`{"journey":"revenue-path","start_ms":1780000000000,"duration_ms":31.5,"pass":true,"steps":[{"name":"ticket","start_ms":1780000000000,"duration_ms":1.25,"pass":true,"status":201}]}`)},
		{Kind: "note", Key: "7", Time: 1_780_000_045_000, Body: []byte(strings.Repeat("doors were opened late. ", 4))},
	}}
}

func encodeRecords(t *testing.T, b delta.Batch) []byte {
	t.Helper()
	c, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	frame, err := delta.NewEncoder(c).Encode(nil, delta.Stamp{Lane: buffer.Revenue, Session: 7, Seq: 1}, b)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// Frames that were sent with the dictionary are read for ever.
func TestPublishedRecordsAreRead(t *testing.T) {
	want := goldenRecords()
	if _, err := os.Stat(goldenRecordsFile); *writeGolden && os.IsNotExist(err) {
		if err := os.WriteFile(goldenRecordsFile, encodeRecords(t, want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	frame, err := os.ReadFile(goldenRecordsFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := delta.NewDecoder(c).Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameBits()); diff != "" {
		t.Error(diff)
	}
}

func TestTheDictionaryIsTheOneOfTheFormat(t *testing.T) {
	dictionary, err := os.ReadFile("records.dict")
	if err != nil {
		t.Fatal(err)
	}
	format, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(dictionary)
	if !strings.Contains(string(format), hex.EncodeToString(sum[:])) {
		t.Errorf("records.dict has SHA-256 %x, which FORMAT.md does not say: another content needs another id", sum)
	}
}

// What records have in common with those of the dictionary is not sent.
func TestFamiliarRecordsAreShort(t *testing.T) {
	for _, r := range goldenRecords().Records[:2] {
		familiar := len(encodeRecords(t, delta.Batch{Records: []delta.Record{r}}))
		r.Body = []byte(strings.Map(func(c rune) rune { return c ^ 1 }, string(r.Body))) // as regular, and in no dictionary
		if strange := len(encodeRecords(t, delta.Batch{Records: []delta.Record{r}})); 3*familiar > 2*strange {
			t.Errorf("%s: a frame of %d bytes, %d without a dictionary", r.Kind, familiar, strange)
		}
	}
}
