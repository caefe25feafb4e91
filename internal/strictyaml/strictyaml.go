// Package strictyaml reads configuration that people write by hand. It refuses
// what it does not understand, and each refusal names the file, line, column and
// field, what is wrong and what is allowed there.
//
// It never guesses: unknown keys, repeated keys and values of the wrong type are
// errors, and so is whatever the configuration's own Validate method reports.
package strictyaml

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A Validator checks a decoded value beyond its types. It returns errors made by
// [Fieldf], one or several joined; they get the field's line and column.
type Validator interface{ Validate() error }

// An Error is one problem at one place of a file.
type Error struct {
	File    string
	Line    int // from 1; 0 where the field is absent from the file
	Column  int // from 1
	Field   string
	Message string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Field != "" {
		fmt.Fprintf(&b, "field %q ", e.Field)
	}
	b.WriteString(e.Message)
	return b.String()
}

// A FieldError is a Validate method's complaint about one field, named by its
// path, such as "scrape.targets[0].url".
type FieldError struct {
	Path    string
	Message string
}

func (e *FieldError) Error() string { return fmt.Sprintf("field %q %s", e.Path, e.Message) }

// Fieldf makes a [FieldError]. The message reads on from the field's name: "is
// empty: name a folder".
func Fieldf(path, format string, args ...any) error {
	return &FieldError{Path: path, Message: fmt.Sprintf(format, args...)}
}

// Under puts prefix in front of the paths of all field errors in err, so that a
// section can validate itself without knowing where it stands.
func Under(prefix string, err error) error {
	var out []error
	for _, e := range Errors(err) {
		var fe *FieldError
		if errors.As(e, &fe) {
			e = &FieldError{Path: join(prefix, fe.Path), Message: fe.Message}
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// Load reads the file at path into out, a pointer that holds the defaults.
func Load(path string, out any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration %w", err)
	}
	return Decode(path, data, out)
}

// Decode reads one YAML document into out, a pointer that holds the defaults.
// The error joins an [Error] for each problem found; name stands for the file.
func Decode(name string, data []byte, out any) error {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return syntaxError(name, err)
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
		return validate(name, index{}, out)
	case 1:
		return DecodeNode(name, docs[0], out)
	}
	second := place(docs[1])
	return &Error{File: name, Line: second.line, Column: second.column, Message: "starts a second document; this file holds one"}
}

// DecodeNode is [Decode] for a part of a document already parsed. The file's
// positions stand; fields are named from the node.
func DecodeNode(name string, node ast.Node, out any) error {
	t := reflect.TypeOf(out)
	if t == nil || t.Kind() != reflect.Pointer {
		return fmt.Errorf("decode %s: %T is no pointer", name, out)
	}
	c := checker{file: name, at: index{}}
	c.check("", node, t.Elem())
	if len(c.problems) > 0 {
		return errors.Join(c.problems...)
	}
	if err := yaml.NodeToValue(node, out, yaml.Strict()); err != nil {
		return syntaxError(name, err)
	}
	return validate(name, c.at, out)
}

// validate runs out's own checks and places what they report.
func validate(name string, at index, out any) error {
	v, ok := out.(Validator)
	if !ok {
		return nil
	}
	var placed []error
	for _, err := range Errors(v.Validate()) {
		var fe *FieldError
		var own *Error
		switch {
		case errors.As(err, &own):
			placed = append(placed, own)
		case errors.As(err, &fe):
			pos := at.nearest(fe.Path)
			placed = append(placed, &Error{File: name, Line: pos.line, Column: pos.column, Field: fe.Path, Message: fe.Message})
		default:
			placed = append(placed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(placed...)
}

func syntaxError(name string, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	e := &Error{File: name, Message: strings.TrimSpace(err.Error())}
	var ye yaml.Error
	if errors.As(err, &ye) {
		e.Message = ye.GetMessage()
		if tok := ye.GetToken(); tok != nil && tok.Position != nil {
			e.Line, e.Column = tok.Position.Line, tok.Position.Column
		}
	}
	return e
}

func join(prefix, path string) string {
	if prefix == "" || path == "" || strings.HasPrefix(path, "[") {
		return prefix + path
	}
	return prefix + "." + path
}
