package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// sloLintCmd checks files. Its exit status is 0 if every document is valid and
// can be evaluated.
type sloLintCmd struct {
	Files []string `arg:"" name:"file" help:"OpenSLO v1 files. They may refer to each other."`
	JSON  bool     `name:"json" help:"Print one JSON object for each document, on a line of its own."`
}

func (c *sloLintCmd) Run(out io.Writer) error {
	var set openslo.Set
	for _, path := range c.Files {
		data, err := os.ReadFile(path)
		if err != nil {
			set.AddUnreadable(path, err)
			continue
		}
		set.Add(path, data)
	}
	docs := set.Documents()
	print := printFindings
	if c.JSON {
		print = printFindingsJSON
	}
	if err := print(out, docs); err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	bad := map[string]bool{}
	for _, d := range docs {
		if !d.Valid() || len(d.Refused) > 0 {
			bad[d.File] = true
		}
	}
	if len(bad) > 0 {
		return errors.New(plural(len(bad), "file is not valid", "files are not valid"))
	}
	return nil
}

// printFindings says in a line each what the documents are, or what is wrong.
func printFindings(out io.Writer, docs []openslo.Document) error {
	for _, d := range docs {
		for _, e := range append(d.Errors, d.Refused...) {
			if _, err := fmt.Fprintln(out, e); err != nil {
				return err
			}
		}
		if !d.Valid() || len(d.Refused) > 0 {
			continue
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", d.File, says(d)); err != nil {
			return err
		}
	}
	return nil
}

func says(d openslo.Document) string {
	if o := d.Objective; o != nil {
		return fmt.Sprintf("%s is valid: %s of %s over %s%s", o.Name, share(o.Target), o.Indicator, o.Window, slicesWords(*o))
	}
	return fmt.Sprintf("%s %s is valid", d.Kind, d.Name)
}

func slicesWords(o slo.Objective) string {
	if !o.Budgeting.Sliced() {
		return ""
	}
	return fmt.Sprintf(", in slices of %s", span(float64(o.Slice.Minutes*60)))
}

// A finding is what lint says of one document.
type finding struct {
	File       string    `json:"file"`
	Index      int       `json:"index"` // of the document in its file, from 0
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Name       string    `json:"name"`
	Decoded    bool      `json:"decoded"` // it is an openslo/v1 document whose fields all have their shape
	Valid      bool      `json:"valid"`   // and it is valid OpenSLO
	Errors     []problem `json:"errors"`
	Evaluable  bool      `json:"evaluable"` // and Ghostlight can keep it
	Refused    []problem `json:"refused"`   // why it cannot, if it is valid
}

// A problem is one thing wrong with a document.
type problem struct {
	Line    int    `json:"line"` // from 1; 0 where the file has no place for it
	Field   string `json:"field"`
	Message string `json:"message"`
}

func printFindingsJSON(out io.Writer, docs []openslo.Document) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, d := range docs {
		f := finding{
			File: d.File, Index: d.Index, APIVersion: d.APIVersion, Kind: d.Kind, Name: d.Name,
			Decoded: d.Decoded, Valid: d.Valid(), Errors: problemsOf(d.Errors),
			Evaluable: d.Valid() && len(d.Refused) == 0, Refused: problemsOf(d.Refused),
		}
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

func problemsOf(errs []*strictyaml.Error) []problem {
	out := []problem{}
	for _, e := range errs {
		out = append(out, problem{Line: e.Line, Field: e.Field, Message: e.Message})
	}
	return out
}
