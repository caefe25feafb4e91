package synthetics

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Variables that every run has.
const (
	varRunID   = "run_id"  // the same for all of one run
	varUUID    = "uuid"    // a new one wherever it is written
	varJourney = "journey" // the journey's name
)

var builtins = []string{varJourney, varRunID, varUUID}

// values are the variables of one run: texts, and what was extracted with the
// types of JSON (string, int64, float64, bool, nil, []any, map[string]any).
type values map[string]any

// A template is a text with variables: text[0] + names[0] + text[1] + ...
type template struct {
	text  []string
	names []string
}

// parseTemplate reads ${name} and the escape $${. The error reads on from the
// field's name.
func parseTemplate(s string) (template, error) {
	var t template
	var lit strings.Builder
	for {
		at := strings.Index(s, "${")
		if at < 0 {
			lit.WriteString(s)
			t.text = append(t.text, lit.String())
			return t, nil
		}
		if at > 0 && s[at-1] == '$' {
			lit.WriteString(s[:at-1])
			lit.WriteString("${")
			s = s[at+2:]
			continue
		}
		lit.WriteString(s[:at])
		name, rest, ok := strings.Cut(s[at+2:], "}")
		if !ok {
			return template{}, fmt.Errorf("has a \"${\" without \"}\"; write $${ for a literal one")
		}
		if !isVarName(name) {
			return template{}, fmt.Errorf("has ${%s}, which is no variable name: a letter or _, then letters, digits or _", name)
		}
		t.text = append(t.text, lit.String())
		t.names = append(t.names, name)
		lit.Reset()
		s = rest
	}
}

func isVarName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// expand puts the variables in. Validation has proved that they exist.
func (t template) expand(lookup func(string) any) string {
	if len(t.names) == 0 {
		return t.text[0]
	}
	var b strings.Builder
	for i, name := range t.names {
		b.WriteString(t.text[i])
		b.WriteString(formatValue(lookup(name)))
	}
	b.WriteString(t.text[len(t.names)])
	return b.String()
}

// whole is the variable's name if the template is nothing but one.
func (t template) whole() (string, bool) {
	if len(t.names) == 1 && t.text[0] == "" && t.text[1] == "" {
		return t.names[0], true
	}
	return "", false
}

// formatValue writes a variable into a text: strings as they are, everything else
// as JSON.
func formatValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// parseTree turns the texts of a decoded YAML value into templates. report gets
// what is wrong, with the path below the value.
func parseTree(v any, path string, report func(path string, err error)) any {
	switch v := v.(type) {
	case string:
		t, err := parseTemplate(v)
		if err != nil {
			report(path, err)
		}
		return t
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = parseTree(v[i], fmt.Sprintf("%s[%d]", path, i), report)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = parseTree(v[k], path+"."+k, report)
		}
		return out
	}
	if _, err := json.Marshal(v); err != nil {
		report(path, fmt.Errorf("cannot be written as JSON: use texts, numbers, true, false, null, lists and mappings with text keys"))
	}
	return v
}

// expandTree is the JSON value of a tree that parseTree made.
func expandTree(v any, lookup func(string) any) any {
	switch v := v.(type) {
	case template:
		if name, ok := v.whole(); ok {
			return lookup(name)
		}
		return v.expand(lookup)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = expandTree(v[i], lookup)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = expandTree(v[k], lookup)
		}
		return out
	}
	return v
}

// treeNames lists the variables that a tree uses.
func treeNames(v any) []string {
	var out []string
	switch v := v.(type) {
	case template:
		out = append(out, v.names...)
	case []any:
		for _, item := range v {
			out = append(out, treeNames(item)...)
		}
	case map[string]any:
		for _, item := range v {
			out = append(out, treeNames(item)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
