package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo/openslo"
	shippedslo "ghostlight/slo/shipped"
	"ghostlight/synthetics"
	"ghostlight/synthetics/shipped"
)

// What comes with Ghostlight, by the name that configuration uses.
const (
	ShippedRevenuePath = "revenue-path" // the journey of one customer through edgecore
	ShippedCheckout    = "checkout"     // checkout success, from outcomes and from that journey
	ShippedVenue       = "venue"        // what else a venue can promise: latencies, cache hits, conversion, uplink and more
)

// source is an entry that is either {file: path}, {shipped: name} or a document
// written in place.
type source struct {
	node ast.Node
}

// UnmarshalYAML keeps the node; [Load] resolves it, for only it knows the file.
func (s *source) UnmarshalYAML(node ast.Node) error {
	s.node = node
	return nil
}

// reference reads {file: path} or {shipped: name}; ok is false for a document
// written in place.
func (s source) reference() (key, value string, at ast.Node, ok bool) {
	pairs, _ := strictyaml.Entries(s.node)
	if len(pairs) != 1 {
		return "", "", s.node, false
	}
	key = strictyaml.Key(pairs[0])
	if text, isText := pairs[0].Value.(*ast.StringNode); isText && (key == "file" || key == "shipped") {
		return key, text.Value, pairs[0], true
	}
	return "", "", s.node, false
}

// resolve fills in the journeys and objectives. name is the configuration's file
// and data its text.
func (c *Config) resolve(name string, data []byte) error {
	var errs []error
	for i := range c.Journeys {
		errs = append(errs, c.Journeys[i].load(name, i, data))
	}
	for i := range c.Objectives {
		errs = append(errs, c.Objectives[i].load(name, i, data))
	}
	return errors.Join(errs...)
}

func (s *JourneySource) load(name string, i int, data []byte) error {
	key, value, at, ok := s.reference()
	field := fmt.Sprintf("journeys[%d]", i)
	var err error
	switch {
	case ok && key == "file":
		s.Journey, err = synthetics.Load(beside(name, value))
		return missingFile(name, field+".file", at, err)
	case ok && value == ShippedRevenuePath:
		s.Journey = shipped.RevenuePath()
		return nil
	case ok:
		return refuse(name, field+".shipped", at, "%q is no journey that comes with Ghostlight; allowed: %s", value, ShippedRevenuePath)
	}
	s.Journey, err = synthetics.Decode(name, inPlace(data, s.node))
	return err
}

func (s *ObjectiveSource) load(name string, i int, data []byte) error {
	key, value, at, ok := s.reference()
	field := fmt.Sprintf("objectives[%d]", i)
	var err error
	switch {
	case ok && key == "file":
		s.Objectives, err = openslo.Load(beside(name, value))
		return missingFile(name, field+".file", at, err)
	case ok && value == ShippedCheckout:
		s.Objectives, err = openslo.Decode(ShippedCheckout+".yaml", shippedslo.Checkout())
		return err
	case ok && value == ShippedVenue:
		s.Objectives, err = openslo.Decode(ShippedVenue+".yaml", shippedslo.Venue())
		return err
	case ok:
		return refuse(name, field+".shipped", at, "%q is no objective that comes with Ghostlight; allowed: %s, %s", value, ShippedCheckout, ShippedVenue)
	}
	s.Objectives, err = openslo.Decode(name, inPlace(data, s.node))
	return err
}

// beside makes a path relative to the configuration's own folder.
func beside(name, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(name), path)
}

// missingFile puts "no such file" where the configuration names the file; other
// errors know their own place.
func missingFile(name, field string, at ast.Node, err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return refuse(name, field, at, "cannot be read: %v", pe)
	}
	return err
}

func refuse(name, field string, at ast.Node, format string, args ...any) error {
	line, column := placeOf(at)
	return &strictyaml.Error{File: name, Line: line, Column: column, Field: field, Message: fmt.Sprintf(format, args...)}
}

// inPlace cuts the list item that node is out of the file, everything before it
// blanked, so that lines and columns in messages are those of the file.
func inPlace(data []byte, node ast.Node) []byte {
	line, column := placeOf(node)
	lastLine, lastColumn := 0, 0 // of a mapping in braces; 0 where indentation ends the item
	if m, ok := node.(*ast.MappingNode); ok && m.IsFlowStyle && m.Start != nil && m.End != nil {
		line, column = m.Start.Position.Line, m.Start.Position.Column
		lastLine, lastColumn = m.End.Position.Line, m.End.Position.Column
	}
	if line < 1 || column < 1 {
		return nil
	}
	var out bytes.Buffer
	out.WriteString(strings.Repeat("\n", line-1))
	for i, text := range bytes.SplitAfter(data, []byte("\n")) {
		switch at := i + 1; {
		case at < line:
			continue
		case lastLine > 0 && at > lastLine, lastLine == 0 && at > line && dedents(text, column-1):
			return out.Bytes()
		case at == lastLine:
			text = text[:min(lastColumn, len(text))]
		}
		if i+1 == line {
			skip := min(column-1, len(text))
			out.WriteString(strings.Repeat(" ", skip))
			text = text[skip:]
		}
		out.Write(text)
	}
	return out.Bytes()
}

// dedents reports whether a line that says something begins left of indent.
func dedents(text []byte, indent int) bool {
	trimmed := bytes.TrimLeft(text, " ")
	said := bytes.TrimSpace(trimmed)
	return len(said) > 0 && said[0] != '#' && len(text)-len(trimmed) < indent
}

// placeOf is the line and column of a node's first key, or of its text.
func placeOf(node ast.Node) (line, column int) {
	if pairs, _ := strictyaml.Entries(node); len(pairs) > 0 {
		node = pairs[0].Key
	}
	if node == nil {
		return 0, 0
	}
	if tok := node.GetToken(); tok != nil && tok.Position != nil {
		return tok.Position.Line, tok.Position.Column
	}
	return 0, 0
}
