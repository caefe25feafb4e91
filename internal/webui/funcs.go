package webui

import (
	"fmt"
	"html/template"
	"time"
)

// toneIcons gives every tone a shape of its own.
func toneIcon(tone string) string {
	switch tone {
	case "ok", "warn", "bad", "dark", "quiet", "blind", "none":
		return tone
	}
	return "unknown"
}

// Icon is a decorative icon from the layout's set; the words beside it carry
// the meaning.
func Icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" aria-hidden="true"><use href="#i-` + esc(name) + `"/></svg>`)
}

func funcs() template.FuncMap {
	return template.FuncMap{
		"icon":     Icon,
		"toneIcon": toneIcon,
		"clock":    Time,
		"span":     func(ms int64) string { return Span(time.Duration(ms) * time.Millisecond) },
		"seconds":  func(s float64) string { return Span(time.Duration(s * float64(time.Second)).Round(time.Second)) },
		"millis":   func(ms float64) string { return Span(time.Duration(ms * float64(time.Millisecond))) },
		"count":    count,
		"percent":  Percent,
		"money":    Money,
		"number":   Number,
		"bytes":    Bytes,
		"plural":   func(n any, one, many string) (string, error) { return plural(n, one, many) },
		"meter":    Meter,
		"pill":     func(tone, text string) Pill { return Pill{Tone: tone, Text: text} },
		"dict":     dict,
	}
}

func toInt(n any) (int64, error) {
	switch v := n.(type) {
	case int:
		return int64(v), nil
	case int64:
		return v, nil
	case int32:
		return int64(v), nil
	case uint64:
		return int64(v), nil
	}
	return 0, fmt.Errorf("%T is not an integer", n)
}

func count(n any) (string, error) {
	v, err := toInt(n)
	return Count(v), err
}

func plural(n any, one, many string) (string, error) {
	v, err := toInt(n)
	return Plural(int(v), one, many), err
}

// dict makes a map of alternating keys and values, for partials with more than
// one argument.
func dict(kv ...any) (map[string]any, error) {
	if len(kv)%2 != 0 {
		return nil, fmt.Errorf("dict: %d arguments are not pairs", len(kv))
	}
	out := make(map[string]any, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		key, ok := kv[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: key %v is not a string", kv[i])
		}
		out[key] = kv[i+1]
	}
	return out, nil
}
