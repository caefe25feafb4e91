// Package openslo reads OpenSLO v1 files, strictly, and makes objectives of their
// SLOs, which it writes in a canonical form that it reads again. It says of each
// document whether it is valid, with the verdict of OpenSLO's own library, and
// whether Ghostlight can evaluate it. Every error names file, line, column and
// field, and what is allowed there; nothing is passed over in silence. FORMAT.md is
// the reference of what is read.
package openslo

import (
	"errors"
	"fmt"
	"os"
	"slices"
	_ "time/tzdata" // calendar windows mean the same on machines without a time zone database

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
// the file in errors. The error joins a [strictyaml.Error] for each problem found.
func Decode(name string, data []byte) ([]slo.Objective, error) {
	var s Set
	s.Add(name, data)
	return s.Objectives()
}

// A Document is what is to be said of one document of a file.
type Document struct {
	File                   string
	Index                  int // in its file, from 0; each entry of a list counts
	APIVersion, Kind, Name string
	// Decoded says that it is of version openslo/v1 and a known kind and that all
	// its fields are known and have their types.
	Decoded bool
	// Errors say why it is not valid OpenSLO.
	Errors []*strictyaml.Error
	// Refused says why Ghostlight does not evaluate it although it is valid.
	Refused []*strictyaml.Error
	// Objective is what a document of kind SLO means, nil if it is not valid or
	// refused.
	Objective *slo.Objective
}

// Valid reports whether the document is valid OpenSLO.
func (d Document) Valid() bool { return len(d.Errors) == 0 }

// A Set is some files whose documents may refer to each other. The zero value is
// empty.
type Set struct {
	docs []*entry
	read bool
}

// Add reads one file.
func (s *Set) Add(name string, data []byte) {
	s.docs = append(s.docs, parse(name, data)...)
	s.read = false
}

// AddUnreadable notes a file that could not be read.
func (s *Set) AddUnreadable(name string, err error) {
	e := &entry{Document: Document{File: name}}
	e.fail(&strictyaml.Error{File: name, Message: err.Error()})
	s.docs = append(s.docs, e)
}

// Documents judges every document, file by file in their order.
func (s *Set) Documents() []Document {
	s.resolve()
	out := make([]Document, len(s.docs))
	for i, d := range s.docs {
		out[i] = d.Document
	}
	return out
}

// Objectives returns an objective for each SLO. After an error there are none; it
// joins what keeps documents from being valid or, when all are, from being
// evaluated.
func (s *Set) Objectives() ([]slo.Objective, error) {
	s.resolve()
	var invalid, refused []error
	var out []slo.Objective
	for _, d := range s.docs {
		invalid, refused = appendErrors(invalid, d.Errors), appendErrors(refused, d.Refused)
		if d.Objective != nil {
			out = append(out, *d.Objective)
		}
	}
	switch {
	case len(invalid) > 0:
		return nil, errors.Join(invalid...)
	case len(refused) > 0:
		return nil, errors.Join(refused...)
	case len(out) == 0:
		name := ""
		if len(s.docs) > 0 {
			name = s.docs[0].File
		}
		return nil, &strictyaml.Error{File: name, Message: "holds no document of kind SLO"}
	}
	return out, nil
}

func appendErrors(to []error, from []*strictyaml.Error) []error {
	for _, e := range from {
		to = append(to, e)
	}
	return to
}

// resolve puts what documents refer to in its place and evaluates them.
func (s *Set) resolve() {
	if s.read {
		return
	}
	s.read = true
	for _, d := range s.docs {
		d.Refused, d.Objective = nil, nil
		if !d.Valid() {
			continue
		}
		d.refuse(s.duplicate(d))
		if d.slo == nil {
			d.refuse(unannotated(d.metadata()))
			d.refuse(d.standing(s))
			continue
		}
		full, err := s.complete(d.slo)
		if d.refuse(err); err != nil {
			continue
		}
		o, err := full.evaluate()
		if d.refuse(err); len(d.Refused) == 0 {
			d.Objective = &o
		}
	}
}

// duplicate refuses the second of two documents of one kind and name: a
// reference would not know which is meant.
func (s *Set) duplicate(d *entry) error {
	i := slices.IndexFunc(s.docs, func(o *entry) bool { return o.Valid() && o.Kind == d.Kind && o.Name == d.Name })
	if s.docs[i] == d {
		return nil
	}
	return strictyaml.Fieldf("metadata.name", "%q is that of another %s in %s", d.Name, d.Kind, s.docs[i].File)
}

// standing evaluates a document that is no SLO as far as it stands alone.
func (d *entry) standing(s *Set) error {
	switch {
	case d.sli != nil:
		spec, err := s.inPlace(d.sli.Spec)
		if err != nil {
			return strictyaml.Under("spec", err)
		}
		zero := number(0)
		_, err = spec.indicator(objective{Op: "gt", Value: &zero}) // the SLO says which
		return strictyaml.Under("spec", err)
	case d.condition != nil:
		_, err := d.condition.Spec.Condition.tier(d.condition.Spec.Severity, 0)
		return strictyaml.Under("spec.condition", err)
	}
	return nil
}
