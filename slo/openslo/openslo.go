// Package openslo reads objectives from OpenSLO v1 files, strictly, and writes
// them in a canonical form that it reads again. Every error names file, line,
// column and field, and what is allowed there. What this version does not evaluate
// is refused with the reason; nothing is passed over in silence. FORMAT.md is the
// reference of what is read.
package openslo

import (
	"errors"
	"fmt"
	"os"
	_ "time/tzdata" // calendar windows mean the same on machines without a time zone database

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
)

// Load reads the objectives of one file.
func Load(path string) ([]slo.Objective, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("objectives: %w", err)
	}
	return Decode(path, data)
}

// Decode reads the objectives of a file's content, in its order; name stands for
// the file in errors. JSON is read too, being YAML. The error joins a
// [strictyaml.Error] for each problem found.
func Decode(name string, data []byte) ([]slo.Objective, error) {
	if err := guard(name, data); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	d := decoder{name: name, indicators: map[string]indicator{}}
	d.read(file)
	if len(d.problems) == 0 {
		d.resolve()
	}
	if len(d.problems) > 0 {
		return nil, errors.Join(d.problems...)
	}
	if len(d.slos) == 0 {
		return nil, &strictyaml.Error{File: name, Message: "holds no document of kind SLO"}
	}
	return d.objectives()
}

// decoder collects what the documents of one file hold.
type decoder struct {
	name       string
	slos       []located
	indicators map[string]indicator
	problems   []error
}

// located is an SLO and where it stands.
type located struct {
	doc  *sloDocument
	node ast.Node
}

// read decodes every document, each by its kind.
func (d *decoder) read(file *ast.File) {
	for _, doc := range file.Docs {
		body := doc.Body
		if body == nil || body.Type() == ast.CommentType || body.Type() == ast.NullType {
			continue
		}
		var err error
		switch kind := scalar(body, "kind"); kind {
		case kindSLO:
			s := &sloDocument{}
			if err = strictyaml.DecodeNode(d.name, body, s); err == nil {
				err = d.add(body, s)
			}
		case kindSLI:
			var s sliDocument
			if err = strictyaml.DecodeNode(d.name, body, &s); err == nil {
				err = d.keep(body, s)
			}
		case "":
			err = d.refuse(body, "kind", "is missing; allowed: SLO, SLI")
		case "DataSource", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget":
			err = d.refuse(body, "kind", "%s is not supported by this version: nothing would evaluate it; allowed: SLO, SLI", kind)
		default:
			err = d.refuse(body, "kind", "%q is unknown; allowed: SLO, SLI", kind)
		}
		if err != nil {
			d.problems = append(d.problems, err)
		}
	}
}

// add appends an SLO whose name is new.
func (d *decoder) add(body ast.Node, s *sloDocument) error {
	for _, other := range d.slos {
		if other.doc.Metadata.Name == s.Metadata.Name {
			return d.refuse(body, "metadata", "name %q is that of another SLO in this file", s.Metadata.Name)
		}
	}
	d.slos = append(d.slos, located{s, body})
	return nil
}

// keep remembers an SLI for references.
func (d *decoder) keep(body ast.Node, s sliDocument) error {
	if _, twice := d.indicators[s.Metadata.Name]; twice {
		return d.refuse(body, "metadata", "name %q is that of another SLI in this file", s.Metadata.Name)
	}
	d.indicators[s.Metadata.Name] = indicator{Metadata: s.Metadata, Spec: s.Spec}
	return nil
}

// resolve puts the SLI that each indicatorRef names in its place.
func (d *decoder) resolve() {
	for _, s := range d.slos {
		ref := s.doc.Spec.IndicatorRef
		if ref == "" {
			continue
		}
		found, ok := d.indicators[ref]
		if !ok {
			d.problems = append(d.problems, d.refuse(child(s.node, "spec"), "indicatorRef", "names %q, but this file has no SLI of that name", ref))
			continue
		}
		s.doc.Spec.Indicator, s.doc.Spec.IndicatorRef = &found, ""
	}
}

// refuse makes an error at a field of a mapping, or at the mapping when it does
// not have the field.
func (d *decoder) refuse(node ast.Node, field, format string, args ...any) error {
	e := &strictyaml.Error{File: d.name, Field: field, Message: fmt.Sprintf(format, args...)}
	at := node
	if kv := entry(node, field); kv != nil {
		at = kv.Key
	} else if kvs := entries(node); len(kvs) > 0 {
		at = kvs[0].Key
	}
	if tok := at.GetToken(); tok != nil && tok.Position != nil {
		e.Line, e.Column = tok.Position.Line, tok.Position.Column
	}
	return e
}

func entries(node ast.Node) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func entry(node ast.Node, field string) *ast.MappingValueNode {
	for _, kv := range entries(node) {
		if s, ok := kv.Key.(*ast.StringNode); ok && s.Value == field {
			return kv
		}
	}
	return nil
}

// child is the section below field, or node itself where there is none.
func child(node ast.Node, field string) ast.Node {
	if kv := entry(node, field); kv != nil {
		return kv.Value
	}
	return node
}

// scalar is the text of a field, "" where there is none.
func scalar(node ast.Node, field string) string {
	if kv := entry(node, field); kv != nil {
		if s, ok := kv.Value.(*ast.StringNode); ok {
			return s.Value
		}
	}
	return ""
}

func syntaxError(name string, err error) error {
	e := &strictyaml.Error{File: name, Message: err.Error()}
	var ye yaml.Error
	if errors.As(err, &ye) {
		e.Message = ye.GetMessage()
		if tok := ye.GetToken(); tok != nil && tok.Position != nil {
			e.Line, e.Column = tok.Position.Line, tok.Position.Column
		}
	}
	return e
}
