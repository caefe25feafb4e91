package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo/openslo"
)

// sloLintCmd checks files. Its exit status is 0 if all are valid.
type sloLintCmd struct {
	Files []string `arg:"" name:"file" help:"OpenSLO v1 files."`
	JSON  bool     `name:"json" help:"Print one JSON object for each document, on a line of its own."`
}

func (c *sloLintCmd) Run(out io.Writer) error {
	bad := 0
	for _, path := range c.Files {
		ok, err := c.lint(out, path)
		if err != nil {
			return fmt.Errorf("print what was found in %s: %w", path, err)
		}
		if !ok {
			bad++
		}
	}
	if bad > 0 {
		return errors.New(plural(bad, "file is not valid", "files are not valid"))
	}
	return nil
}

// lint prints what is to be said of one file; ok means that it is valid. The
// error is that of printing.
func (c *sloLintCmd) lint(out io.Writer, path string) (ok bool, err error) {
	if c.JSON {
		return lintJSON(out, path)
	}
	objectives, invalid := openslo.Load(path)
	if invalid != nil {
		_, err := fmt.Fprintln(out, invalid)
		return false, err
	}
	for _, o := range objectives {
		if _, err := fmt.Fprintf(out, "%s: %s is valid: %s of %s over %s\n", path, o.Name, share(o.Target), o.Indicator, o.Window); err != nil {
			return false, err
		}
	}
	return true, nil
}

// A finding is what lint says of one document.
type finding struct {
	File       string    `json:"file"`
	Index      int       `json:"index"` // of the document in its file, from 0
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Name       string    `json:"name"`
	Decoded    bool      `json:"decoded"` // it is an openslo/v1 document whose fields all have their shape
	Valid      bool      `json:"valid"`   // and it means something that can be kept
	Errors     []problem `json:"errors"`
}

// A problem is one thing wrong with a document.
type problem struct {
	Line    int    `json:"line"` // from 1; 0 where the file has no place for it
	Field   string `json:"field"`
	Message string `json:"message"`
}

func lintJSON(out io.Writer, path string) (ok bool, err error) {
	ok = true
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, f := range findings(path) {
		ok = ok && f.Valid
		if err := enc.Encode(f); err != nil {
			return false, err
		}
	}
	return ok, nil
}

// findings judges each document of a file; a file that cannot be taken apart is
// one document.
func findings(path string) []finding {
	data, err := os.ReadFile(path)
	if err != nil {
		return []finding{{File: path, Errors: []problem{{Message: err.Error()}}}}
	}
	_, invalid := openslo.Decode(path, data)
	problems := problemsOf(invalid)
	bodies := documents(data)
	if len(bodies) == 0 {
		return []finding{{File: path, Errors: problems}}
	}
	out := make([]finding, len(bodies))
	for i, body := range bodies {
		h := headerOf(body)
		out[i] = finding{
			File: path, Index: i, APIVersion: h.APIVersion, Kind: h.Kind, Name: h.Metadata.Name,
			Decoded: shaped(body), Errors: []problem{},
		}
	}
	for _, p := range problems {
		i := len(bodies) - 1
		for i > 0 && firstLine(bodies[i]) > p.Line {
			i--
		}
		out[i].Errors = append(out[i].Errors, p)
	}
	for i := range out {
		out[i].Valid = len(out[i].Errors) == 0
	}
	return out
}

// maxSplit bounds what is taken apart: objectives are short, and a parser's time
// grows faster than its input.
const maxSplit = 256 << 10

// documents are the documents of a file, none if it is not YAML.
func documents(data []byte) []ast.Node {
	if len(data) > maxSplit {
		return nil
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil
	}
	var out []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType && d.Body.Type() != ast.NullType {
			out = append(out, d.Body)
		}
	}
	return out
}

// header is what every OpenSLO document begins with.
type header struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
}

func headerOf(body ast.Node) header {
	var h header
	if yaml.NodeToValue(body, &h) != nil {
		return header{} // what is wrong is said by the decoder
	}
	return h
}

// shaped reports whether a document is of a known version and kind and all its
// fields are known and have their types. Only then does the decoder go on to
// validate it, which is seen by giving it a version that validation refuses.
func shaped(body ast.Node) bool {
	const version, wrong = "openslo/v1", "none"
	var fields yaml.MapSlice
	if headerOf(body).APIVersion != version || yaml.NodeToValue(body, &fields) != nil {
		return false
	}
	for i := range fields {
		if fields[i].Key == "apiVersion" {
			fields[i].Value = wrong
		}
	}
	text, err := yaml.Marshal(fields)
	if err != nil {
		return false
	}
	_, err = openslo.Decode("", text)
	for _, p := range problemsOf(err) {
		if p.Field == "apiVersion" {
			return true
		}
	}
	return false
}

// firstLine is where a document begins.
func firstLine(body ast.Node) int {
	switch n := body.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			body = n.Values[0].Key
		}
	case *ast.MappingValueNode:
		body = n.Key
	}
	if tok := body.GetToken(); tok != nil && tok.Position != nil {
		return tok.Position.Line
	}
	return 0
}

// problemsOf takes a decoder's joined errors apart.
func problemsOf(err error) []problem {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only a join itself is taken apart
		var out []problem
		for _, e := range many.Unwrap() {
			out = append(out, problemsOf(e)...)
		}
		return out
	}
	var at *strictyaml.Error
	if errors.As(err, &at) {
		return []problem{{Line: at.Line, Field: at.Field, Message: at.Message}}
	}
	return []problem{{Message: err.Error()}}
}
