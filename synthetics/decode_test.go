package synthetics_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"ghostlight/internal/strictyaml"
	"ghostlight/synthetics"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const small = `
name: small
schedule: "@every 30s"
jitter: 1s
timeout: 5s
vars: {base: "http://x"}
needs: [token]
steps:
  - name: one
    request:
      url: ${base}/${token}
      json: {n: 1, "deep": ["${run_id}", {k: "$${literal}"}]}
    extract: {id: body.id}
  - name: two
    websocket:
      url: ws://x/${id}
      exchange:
        - send: {type: hello}
        - expect: message.type == "hi"
`

func TestDecode(t *testing.T) {
	got, err := synthetics.Decode("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	want := synthetics.Journey{
		Name: "small", Schedule: "@every 30s", Jitter: strictyaml.Duration(time.Second), Timeout: strictyaml.Duration(5 * time.Second),
		Vars: map[string]string{"base": "http://x"}, Needs: []string{"token"},
		Steps: []synthetics.Step{
			{
				Name: "one",
				Request: &synthetics.Request{URL: "${base}/${token}", JSON: map[string]any{
					"n": uint64(1), "deep": []any{"${run_id}", map[string]any{"k": "$${literal}"}},
				}},
				Extract: map[string]string{"id": "body.id"},
			},
			{Name: "two", WebSocket: &synthetics.WebSocket{URL: "ws://x/${id}", Exchange: []synthetics.Exchange{
				{Send: map[string]any{"type": "hello"}}, {Expect: `message.type == "hi"`},
			}}},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(synthetics.Journey{})); diff != "" {
		t.Errorf("journey (-want +got):\n%s", diff)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.yaml")
	if err := os.WriteFile(path, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := synthetics.Load(path)
	if err != nil || j.Name != "small" {
		t.Fatalf("Load = %q, %v", j.Name, err)
	}
	if _, err := synthetics.Load(path + ".none"); err == nil || !strings.Contains(err.Error(), "j.yaml.none") {
		t.Errorf("Load of a missing file: %v", err)
	}
}

// TestBadJourneys holds what the author of a broken journey is told.
func TestBadJourneys(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = synthetics.Decode("journey.yaml", ar.Files[0].Data)
			if err == nil {
				t.Fatal("a broken journey was accepted")
			}
			got := err.Error() + "\n"
			if *update {
				ar.Files = []txtar.File{ar.Files[0], {Name: "errors", Data: []byte(got)}}
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(ar.Files) != 2 {
				t.Fatalf("%s has no errors file; run with -update", path)
			}
			if diff := cmp.Diff(string(ar.Files[1].Data), got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseSchedule(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for spec, want := range map[string]time.Time{
		"@every 15s":                       at.Add(15 * time.Second),
		"*/5 * * * *":                      at.Add(5 * time.Minute),
		"30 */5 * * * *":                   at.Add(30 * time.Second),
		"CRON_TZ=Europe/Berlin 0 15 * * *": at.Add(2 * time.Hour),
		"@hourly":                          at.Add(time.Hour),
		"CRON_TZ=UTC 0 0 29 2 *":           time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC),
	} {
		s, err := synthetics.ParseSchedule(spec)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
			continue
		}
		if got := s.Next(at); !got.Equal(want) {
			t.Errorf("%q: next after %v is %v, want %v", spec, at, got, want)
		}
	}
	for _, spec := range []string{"", "often", "TZ=", "CRON_TZ=UTC", "0 0 30 2 *", "* * *", "@every -1s", "61 * * * * *"} {
		if _, err := synthetics.ParseSchedule(spec); err == nil {
			t.Errorf("%q was accepted", spec)
		}
	}
}

// FuzzDecode proves that no file can crash the decoder, and that what it accepts
// can be validated again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(small))
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		ar, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ar.Files[0].Data)
	}
	for _, spec := range []string{"TZ=", "CRON_TZ=x", "@every 1ns", "@every 9999999h", "* * * * * * *"} {
		f.Add([]byte("name: a\nschedule: \"" + spec + "\"\nsteps: [{name: b, request: {url: u}}]\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := synthetics.Decode("fuzz.yaml", data)
		if err != nil {
			return
		}
		if err := j.Validate(); err != nil {
			t.Errorf("accepted once, refused the second time: %v", err)
		}
	})
}
