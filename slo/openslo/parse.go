package openslo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"ghostlight/internal/strictyaml"
)

// entry is a document of a set: one of the pointers is set once it is decoded.
type entry struct {
	Document
	node      ast.Node
	slo       *sloDocument
	sli       *sliDocument
	service   *serviceDocument
	data      *dataSourceDocument
	policy    *policyDocument
	condition *conditionDocument
	target    *targetDocument
}

// parse takes a file apart; one that cannot be is one document with an error.
func parse(name string, data []byte) []*entry {
	broken := func(err error) []*entry {
		e := &entry{Document: Document{File: name}}
		e.fail(err)
		return []*entry{e}
	}
	if err := guard(name, data); err != nil {
		return broken(err)
	}
	var out []*entry
	for _, text := range split(data) {
		file, err := parser.ParseBytes(text, 0)
		if err != nil {
			return broken(syntaxError(name, err))
		}
		for _, doc := range file.Docs {
			for _, body := range bodies(doc.Body) {
				e := &entry{Document: Document{File: name, Index: len(out)}, node: body}
				e.decode()
				out = append(out, e)
			}
		}
	}
	if len(out) == 0 {
		return broken(&strictyaml.Error{File: name, Message: "holds no document"})
	}
	return out
}

// bodies are the documents that one YAML document is: itself, or the entries of
// a list.
func bodies(body ast.Node) []ast.Node {
	if body == nil || body.Type() == ast.CommentType || body.Type() == ast.NullType {
		return nil
	}
	if list, ok := body.(*ast.SequenceNode); ok {
		return list.Values
	}
	return []ast.Node{body}
}

// split takes JSON values that follow each other apart and makes them YAML, each
// where it stood; anything else is one text.
func split(data []byte) [][]byte {
	if start := bytes.TrimLeft(data, " \t\r\n"); len(start) == 0 || (start[0] != '{' && start[0] != '[') {
		return [][]byte{data}
	}
	var out [][]byte
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var value json.RawMessage
		err := dec.Decode(&value)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			return [][]byte{data} // YAML that begins like JSON
		}
		end := int(dec.InputOffset())
		start := end - len(value)
		// Positions stay true: lines before it are empty, tabs, which JSON allows
		// between values only, are as wide as a blank.
		text := bytes.Repeat([]byte("\n"), bytes.Count(data[:start], []byte("\n")))
		if at := start - 1 - bytes.LastIndexByte(data[:start], '\n'); at > 0 {
			text = append(text, bytes.Repeat([]byte(" "), at)...)
		}
		out = append(out, bytes.ReplaceAll(append(text, data[start:end]...), []byte("\t"), []byte(" ")))
	}
}

// decode reads the document by its kind and checks it.
func (d *entry) decode() {
	d.APIVersion, d.Kind = scalar(d.node, "apiVersion"), scalar(d.node, "kind")
	d.Name = scalar(child(d.node, "metadata"), "name")
	if kvs, _ := strictyaml.Entries(d.node); len(kvs) == 0 {
		d.fail(d.place(strictyaml.Fieldf("", "is no document; allowed: a mapping with apiVersion, kind, metadata and spec")))
		return
	}
	if d.APIVersion != apiVersion {
		d.fail(d.place(strictyaml.Fieldf("apiVersion", "is %q; allowed: %s", d.APIVersion, apiVersion)))
		return
	}
	into := d.body()
	if into == nil {
		d.fail(d.place(strictyaml.Fieldf("kind", "is %q; allowed: %s", d.Kind, strings.Join(Kinds(), ", "))))
		return
	}
	if err := strictyaml.DecodeNode(d.File, d.node, into); err != nil {
		d.fail(err)
		return
	}
	d.Decoded = true
	d.fail(d.place(into.check()))
}

// body makes room for a document of the entry's kind.
func (d *entry) body() interface{ check() error } {
	switch d.Kind {
	case kindSLO:
		d.slo = &sloDocument{}
		return d.slo
	case kindSLI:
		d.sli = &sliDocument{}
		return d.sli
	case kindService:
		d.service = &serviceDocument{}
		return d.service
	case kindDataSource:
		d.data = &dataSourceDocument{}
		return d.data
	case kindAlertPolicy:
		d.policy = &policyDocument{}
		return d.policy
	case kindCondition:
		d.condition = &conditionDocument{}
		return d.condition
	case kindTarget:
		d.target = &targetDocument{}
		return d.target
	}
	return nil
}

func (d *entry) metadata() metadata {
	switch {
	case d.slo != nil:
		return d.slo.Metadata
	case d.sli != nil:
		return d.sli.Metadata
	case d.service != nil:
		return d.service.Metadata
	case d.data != nil:
		return d.data.Metadata
	case d.policy != nil:
		return d.policy.Metadata
	case d.condition != nil:
		return d.condition.Metadata
	case d.target != nil:
		return d.target.Metadata
	}
	return metadata{}
}

// fail notes why the document is not valid, refuse why it is not evaluated.
func (d *entry) fail(err error)   { d.Errors = append(d.Errors, placed(d.File, err)...) }
func (d *entry) refuse(err error) { d.Refused = append(d.Refused, placed(d.File, d.place(err))...) }

// placed takes joined errors apart.
func placed(file string, err error) []*strictyaml.Error {
	var out []*strictyaml.Error
	for _, e := range strictyaml.Errors(err) {
		var at *strictyaml.Error
		if !errors.As(e, &at) {
			at = &strictyaml.Error{File: file, Message: e.Error()}
		}
		out = append(out, at)
	}
	return out
}

// place gives field errors their line and column.
func (d *entry) place(err error) error {
	var out []error
	for _, e := range strictyaml.Errors(err) {
		var field *strictyaml.FieldError
		if errors.As(e, &field) {
			at := &strictyaml.Error{File: d.File, Field: field.Path, Message: field.Message}
			if tok := locate(d.node, field.Path).GetToken(); tok != nil && tok.Position != nil {
				at.Line, at.Column = tok.Position.Line, tok.Position.Column
			}
			e = at
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// locate is the key of the field at path or, where the document lacks it, the
// closest one around it.
func locate(node ast.Node, path string) ast.Node {
	at := node
	if kvs, _ := strictyaml.Entries(node); len(kvs) > 0 {
		at = kvs[0].Key
	}
	for path != "" {
		if rest, ok := strings.CutPrefix(path, "["); ok {
			number, after, _ := strings.Cut(rest, "]")
			list, isList := node.(*ast.SequenceNode)
			n, err := strconv.Atoi(number)
			if !isList || err != nil || n < 0 || n >= len(list.Values) {
				return at
			}
			node, path = list.Values[n], strings.TrimPrefix(after, ".")
			at = node
			if kvs, _ := strictyaml.Entries(node); len(kvs) > 0 {
				at = kvs[0].Key
			}
			continue
		}
		kv, rest := step(node, path)
		if kv == nil {
			return at
		}
		at, node, path = kv.Key, kv.Value, rest
	}
	return at
}

// step is the entry of a mapping that path begins with, and the rest of path. The
// name of an annotation may hold dots: the longest that fits is meant.
func step(node ast.Node, path string) (*ast.MappingValueNode, string) {
	var found *ast.MappingValueNode
	best, left := 0, ""
	kvs, _ := strictyaml.Entries(node)
	for _, kv := range kvs {
		s, ok := kv.Key.(*ast.StringNode)
		if !ok || len(s.Value) < best {
			continue
		}
		rest, fits := strings.CutPrefix(path, s.Value)
		if fits && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			found, best, left = kv, len(s.Value), strings.TrimPrefix(rest, ".")
		}
	}
	return found, left
}

// child is the section below field, or node itself where there is none.
func child(node ast.Node, field string) ast.Node {
	kvs, _ := strictyaml.Entries(node)
	for _, kv := range kvs {
		if s, ok := kv.Key.(*ast.StringNode); ok && s.Value == field {
			return kv.Value
		}
	}
	return node
}

// scalar is the text of a field, "" where there is none.
func scalar(node ast.Node, field string) string {
	if found := child(node, field); found != node {
		if s, ok := plainText(found); ok {
			return s
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
