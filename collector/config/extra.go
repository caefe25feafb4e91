package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"ghostlight/internal/strictyaml"
)

// Extra is raw collector configuration, merged with the agent's own.
type Extra struct {
	// Receivers are collector receivers by their id, such as otlp/lan or hostmetrics/processes.
	Receivers map[string]any `yaml:"receivers"`
	// Pipelines are collector pipelines by their id, such as metrics/lan.
	Pipelines map[string]Pipeline `yaml:"pipelines"`
}

// Pipeline is one collector pipeline.
type Pipeline struct {
	// Receivers are ids of extra.receivers.
	Receivers []string `yaml:"receivers"`
	// Processors are memory_limiter or none.
	Processors []string `yaml:"processors"`
	// Exporters are ghostlight, which is also what an empty list means.
	Exporters []string `yaml:"exporters"`
}

// ids of the agent's own components, which extra ones may not take.
var (
	ownReceivers = map[string]bool{"otlp": true, "hostmetrics": true, "scrape": true, "journeys": true, "outcomes": true}
	ownPipelines = map[string]bool{"metrics": true, "traces": true, "logs": true, "metrics/host": true, "metrics/node": true}
)

func (e Extra) validate() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(e.Receivers)) {
		if ownReceivers[id] {
			errs = append(errs, strictyaml.Fieldf("extra.receivers."+id, "is the agent's own receiver: write %s/another_name", id))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.Pipelines)) {
		p := e.Pipelines[id]
		path := "extra.pipelines." + id
		kind, _, _ := strings.Cut(id, "/")
		if kind != "metrics" && kind != "traces" && kind != "logs" {
			errs = append(errs, strictyaml.Fieldf(path, "must begin with metrics, traces or logs"))
		}
		if ownPipelines[id] {
			errs = append(errs, strictyaml.Fieldf(path, "is the agent's own pipeline: write %s/another_name", kind))
		}
		if len(p.Receivers) == 0 {
			errs = append(errs, strictyaml.Fieldf(path, "has no receivers: name one of extra.receivers"))
		}
		for i, r := range p.Receivers {
			if _, ok := e.Receivers[r]; !ok {
				errs = append(errs, strictyaml.Fieldf(fmt.Sprintf("%s.receivers[%d]", path, i), "%q is not among extra.receivers", r))
			}
		}
		for i, name := range p.Processors {
			if name != "memory_limiter" {
				errs = append(errs, strictyaml.Fieldf(fmt.Sprintf("%s.processors[%d]", path, i), "%q is unknown; allowed: memory_limiter", name))
			}
		}
		for i, name := range p.Exporters {
			if name != "ghostlight" {
				errs = append(errs, strictyaml.Fieldf(fmt.Sprintf("%s.exporters[%d]", path, i), "%q is unknown; allowed: ghostlight", name))
			}
		}
	}
	return errors.Join(errs...)
}

// The collector's own messages, which name a component and its keys but no line.
var (
	componentInError = regexp.MustCompile(`(?:for "|for id: "|receivers::)([a-zA-Z][^":\s]*)`)
	sectionInError   = regexp.MustCompile(`'([^'\n]*)' ([^\n]*)`)
	keysInError      = regexp.MustCompile(`^has invalid keys: (.+)`)
)

// Place finds the line of agent.yaml that an error of the collector is about and
// returns it as a [strictyaml.Error]; text is the file.
func (c *Config) Place(err error, text []byte) error {
	full := err.Error()
	m := componentInError.FindStringSubmatch(full)
	if m == nil {
		return &strictyaml.Error{File: c.name, Message: strings.Join(strings.Fields(full), " ")}
	}
	at := []string{"extra", "receivers", m[1]}
	message := full[strings.LastIndex(full, m[0])+len(m[0]):]
	message = strings.Trim(message, `": `)
	switch {
	case strings.Contains(full, "unknown type"):
		message = "is no receiver of this agent; allowed types: otlp, hostmetrics"
	default:
		// Each level of nesting says its own part, the innermost what is wrong.
		for _, part := range sectionInError.FindAllStringSubmatch(message, -1) {
			at = append(at, strings.FieldsFunc(part[1], func(r rune) bool { return r == '.' || r == ':' })...)
			message = part[2]
			if k := keysInError.FindStringSubmatch(message); k != nil {
				key, _, _ := strings.Cut(k[1], ",")
				at = append(at, strings.TrimSpace(key))
				message = "is unknown to the collector"
			}
		}
	}
	line, column, field := locate(text, at)
	return &strictyaml.Error{File: c.name, Line: line, Column: column, Field: field, Message: strings.Join(strings.Fields(message), " ")}
}

// locate walks the document along path as far as it goes, passing over parts that
// the file does not have.
func locate(text []byte, path []string) (line, column int, field string) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil || len(file.Docs) == 0 {
		return 0, 0, strings.Join(path, ".")
	}
	var node ast.Node = file.Docs[0].Body
	var found []string
	for _, part := range path {
		pairs, _ := strictyaml.Entries(node)
		for _, kv := range pairs {
			if strings.EqualFold(strictyaml.Key(kv), part) {
				line, column = placeOf(kv)
				node = kv.Value
				found = append(found, strictyaml.Key(kv))
				break
			}
		}
	}
	return line, column, strings.Join(found, ".")
}
