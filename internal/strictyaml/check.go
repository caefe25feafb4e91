package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

type position struct{ line, column int }

// index knows where each field of a document stands.
type index map[string]position

// nearest is the position of path or, where the file does not have it, of the
// closest section around it.
func (at index) nearest(path string) position {
	for {
		if pos, ok := at[path]; ok {
			return pos
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return at[""]
		}
		path = path[:cut]
	}
}

// checker compares a parsed document with the Go type that it is for.
type checker struct {
	file     string
	at       index
	problems []error
}

func (c *checker) refuse(path string, node ast.Node, format string, args ...any) {
	pos := place(node)
	c.problems = append(c.problems, &Error{File: c.file, Line: pos.line, Column: pos.column, Field: path, Message: fmt.Sprintf(format, args...)})
}

func place(node ast.Node) position {
	if m, ok := node.(*ast.MappingValueNode); ok {
		node = m.Key
	}
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	if tok := node.GetToken(); tok != nil && tok.Position != nil {
		return position{tok.Position.Line, tok.Position.Column}
	}
	return position{}
}

// check walks node and t side by side. Aliases are left to the decoder.
func (c *checker) check(path string, node ast.Node, t reflect.Type) {
	if anchor, ok := node.(*ast.AnchorNode); ok {
		node = anchor.Value
	}
	if _, ok := c.at[path]; !ok {
		c.at[path] = place(node)
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if node.Type() == ast.NullType || node.Type() == ast.AliasType || t.Kind() == reflect.Interface {
		return
	}
	switch {
	case decodesItself(t):
		c.leaf(path, node, t)
	case t.Kind() == reflect.Struct:
		c.structure(path, node, t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		seq, ok := node.(*ast.SequenceNode)
		if !ok {
			c.refuse(path, node, "must be a list")
			return
		}
		for i, item := range seq.Values {
			c.check(fmt.Sprintf("%s[%d]", path, i), item, t.Elem())
		}
	case t.Kind() == reflect.Map:
		values, ok := Entries(node)
		if !ok {
			c.refuse(path, node, "must be a mapping of names to values")
			return
		}
		for _, kv := range values {
			c.check(join(path, Key(kv)), kv.Value, t.Elem())
		}
	default:
		c.leaf(path, node, t)
	}
}

func (c *checker) structure(path string, node ast.Node, t reflect.Type) {
	values, ok := Entries(node)
	if !ok {
		c.refuse(path, node, "must be a section with fields: %s", strings.Join(names(fields(t)), ", "))
		return
	}
	known := fields(t)
	seen := make(map[string]bool, len(values))
	for _, kv := range values {
		name := Key(kv)
		if name == "<<" {
			continue
		}
		child := join(path, name)
		c.at[child] = place(kv)
		ft, ok := known[name]
		switch {
		case !ok:
			c.refuse(child, kv, "is unknown; allowed: %s", strings.Join(names(known), ", "))
		case seen[name]:
			c.refuse(child, kv, "is given twice")
		default:
			c.check(child, kv.Value, ft)
		}
		seen[name] = true
	}
}

// leaf tries to decode a value that has no fields of its own.
func (c *checker) leaf(path string, node ast.Node, t reflect.Type) {
	scratch := reflect.New(t)
	err := yaml.NodeToValue(node, scratch.Interface(), yaml.Strict())
	if err == nil {
		return
	}
	var own *Error
	if errors.As(err, &own) {
		c.problems = append(c.problems, err)
		return
	}
	if decodesItself(t) {
		message := err.Error()
		var ye yaml.Error
		if errors.As(err, &ye) {
			message = ye.GetMessage()
		}
		c.refuse(path, node, "%s", message)
		return
	}
	c.refuse(path, node, "must be %s", expected(t))
}

func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Uint, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	}
	return "a " + t.String()
}

var unmarshalers = []reflect.Type{
	reflect.TypeFor[yaml.BytesUnmarshaler](), reflect.TypeFor[yaml.InterfaceUnmarshaler](),
	reflect.TypeFor[yaml.NodeUnmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
}

func decodesItself(t reflect.Type) bool {
	for _, u := range unmarshalers {
		if reflect.PointerTo(t).Implements(u) {
			return true
		}
	}
	return false
}

// fields maps the YAML names of a struct's fields to their types, those of
// inlined structs included.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-":
		case strings.Contains(opts, "inline"):
			ft := f.Type
			if ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			for n, inner := range fields(ft) {
				out[n] = inner
			}
		case f.IsExported():
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			out[name] = f.Type
		}
	}
	return out
}

func names(known map[string]reflect.Type) []string {
	out := make([]string, 0, len(known))
	for n := range known {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}
