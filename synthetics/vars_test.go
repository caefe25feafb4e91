package synthetics

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestTemplateRoundTrip builds a template from parts and expects its expansion to
// be the parts' values.
func TestTemplateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vars := values{}
		var source, want strings.Builder
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			lit := rapid.StringMatching(`[a-z{}/ ]{0,5}`).Draw(t, "literal")
			source.WriteString(lit)
			want.WriteString(lit)
			if rapid.Bool().Draw(t, "escape") {
				source.WriteString("$${")
				want.WriteString("${")
				continue
			}
			name := rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_]{0,8}`).Draw(t, "name")
			if _, ok := vars[name]; !ok {
				vars[name] = rapid.String().Draw(t, "value")
			}
			source.WriteString("${" + name + "}")
			want.WriteString(vars[name].(string))
		}
		tpl, err := parseTemplate(source.String())
		if err != nil {
			t.Fatalf("%q: %v", source.String(), err)
		}
		if got := tpl.expand(func(name string) any { return vars[name] }); got != want.String() {
			t.Fatalf("%q gave %q, want %q", source.String(), got, want.String())
		}
	})
}

// TestExpandedTreeIsJSON checks that values keep their types when a text is
// nothing but a variable.
func TestExpandedTreeIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		s := rapid.String().Draw(t, "s")
		vars := values{"n": n, "s": s, "b": true, "none": nil, "list": []any{n, s}}
		tree := parseTree(map[string]any{"n": "${n}", "s": "${s}", "b": "${b}", "none": "${none}", "list": []any{"${list}"}, "text": "<${n}>"}, "json",
			func(path string, err error) { t.Fatalf("%s: %v", path, err) })
		data, err := json.Marshal(expandTree(tree, func(name string) any { return vars[name] }))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parseJSON(data)
		want := map[string]any{"n": n, "s": s, "b": true, "none": nil, "list": []any{[]any{n, s}}, "text": "<" + formatValue(n) + ">"}
		if diff := cmp.Diff(any(want), got); !ok || diff != "" {
			t.Fatalf("JSON %s (-want +got):\n%s", data, diff)
		}
	})
}

func TestParseJSON(t *testing.T) {
	for text, want := range map[string]any{
		`9007199254740993`: int64(9007199254740993), `1.0`: 1.0, `1e3`: 1000.0, `1e999`: "1e999", `"x"`: "x", `[1,{"a":null}]`: []any{int64(1), map[string]any{"a": nil}},
	} {
		got, ok := parseJSON([]byte(text))
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "{", "{} {}", "<html>", "1 2"} {
		if v, ok := parseJSON([]byte(text)); ok {
			t.Errorf("%q was read as %v", text, v)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, tc := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 5, "plain"}, {"two\nlines\x00", 20, "two lines "}, {"ééé", 3, "é..."}, {"a\xffb", 9, "a?b"},
	} {
		if got := shorten(tc.in, tc.limit); got != tc.want {
			t.Errorf("shorten(%q, %d) = %q, want %q", tc.in, tc.limit, got, tc.want)
		}
	}
}
