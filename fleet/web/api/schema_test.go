package api

import (
	"encoding"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"ghostlight/fleet/status"
)

// schemas describes Go types as JSON schemas, by the names of openapi.json. What the
// source says of a type or a field is its description.
type schemas struct {
	root  string // folder of the module
	named map[string]any
	docs  map[string]map[string]string // by package and by "Type" or "Type.Field"
}

func newSchemas(root string) *schemas {
	return &schemas{root: root, named: map[string]any{}, docs: map[string]map[string]string{}}
}

type object = map[string]any

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	clock         = reflect.TypeFor[time.Time]()
	figure        = reflect.TypeFor[status.Value]()
)

// of is the schema of a type; a struct with a name is a reference to it.
func (s *schemas) of(t reflect.Type) any {
	switch {
	case t == clock:
		return object{"type": "string", "format": "date-time"}
	case t == figure:
		return object{"type": []string{"number", "null"}}
	case t.Kind() != reflect.Pointer && t.Implements(textMarshaler):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []any{s.of(t.Elem()), object{"type": "null"}}}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object"}
		}
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.ref(t)
	}
	return object{"type": "integer"}
}

// ref names a struct: what is not of the views has its package before it.
func (s *schemas) ref(t reflect.Type) any {
	pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if pkg != "status" && pkg != "api" {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	if _, ok := s.named[name]; !ok {
		s.named[name] = nil // a type may hold itself
		s.named[name] = s.structure(t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

func (s *schemas) structure(t reflect.Type) object {
	out := object{"type": "object", "additionalProperties": false}
	if says := s.says(t, t.Name()); says != "" {
		out["description"] = says
	}
	properties, required := object{}, []string{}
	s.fields(t, properties, &required)
	out["properties"] = properties
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// fields lays out a struct as encoding/json does: an outer field hides an inner one.
func (s *schemas) fields(t reflect.Type, into object, required *[]string) {
	var inner []reflect.Type
	for f := range t.Fields() {
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "":
			inner = append(inner, f.Type)
			continue
		case name == "":
			name = f.Name
		}
		if _, hidden := into[name]; hidden {
			continue
		}
		into[name] = s.described(s.of(f.Type), s.says(t, t.Name()+"."+f.Name))
		if !strings.Contains(rest, "omitempty") && !strings.Contains(rest, "omitzero") {
			*required = append(*required, name)
		}
	}
	for _, i := range inner {
		s.fields(i, into, required)
	}
}

func (s *schemas) described(schema any, says string) any {
	if says == "" {
		return schema
	}
	out := object{"description": says}
	for k, v := range schema.(object) {
		out[k] = v
	}
	return out
}

// says is what the source says of "Type" or "Type.Field".
func (s *schemas) says(t reflect.Type, what string) string {
	pkg := t.PkgPath()
	if s.docs[pkg] == nil {
		s.docs[pkg] = map[string]string{}
		if inside, ok := strings.CutPrefix(pkg, "ghostlight/"); ok {
			s.read(filepath.Join(s.root, inside), s.docs[pkg])
		}
	}
	return s.docs[pkg][what]
}

func (s *schemas) read(folder string, docs map[string]string) {
	names, _ := fs.Glob(os.DirFS(folder), "*.go")
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, parser.ParseComments)
		if err != nil || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, d := range file.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				continue
			}
			for _, spec := range decl.Specs {
				typeDocs(decl, spec.(*ast.TypeSpec), docs)
			}
		}
	}
}

func typeDocs(decl *ast.GenDecl, spec *ast.TypeSpec, docs map[string]string) {
	text := func(groups ...*ast.CommentGroup) string {
		for _, g := range groups {
			if says := strings.Join(strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(g.Text())), " "); says != "" {
				return says
			}
		}
		return ""
	}
	docs[spec.Name.Name] = text(decl.Doc, spec.Doc)
	if st, ok := spec.Type.(*ast.StructType); ok {
		for _, f := range st.Fields.List {
			for _, n := range f.Names {
				docs[spec.Name.Name+"."+n.Name] = text(f.Doc, f.Comment)
			}
		}
	}
}
