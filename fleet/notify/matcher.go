package notify

import (
	"fmt"
	"regexp"
)

// A Matcher is a condition on one label; a label that is absent is "". A regular
// expression must match the whole value.
type Matcher struct {
	Label string `json:"label" yaml:"label"`
	Value string `json:"value" yaml:"value"`
	Regex bool   `json:"regex,omitempty" yaml:"regex"`
	Not   bool   `json:"not,omitempty" yaml:"not"` // the condition must not hold
}

const maxMatcher = 500 // bytes of a label or value

// compile returns the matcher as a predicate.
func (m Matcher) compile() (func(labels map[string]string) bool, error) {
	if m.Label == "" || len(m.Label) > maxMatcher || len(m.Value) > maxMatcher {
		return nil, fmt.Errorf("matcher is %w: label and value must have at most %d bytes, the label at least 1", ErrInvalid, maxMatcher)
	}
	if !m.Regex {
		return func(l map[string]string) bool { return (l[m.Label] == m.Value) != m.Not }, nil
	}
	re, err := regexp.Compile("^(?:" + m.Value + ")$")
	if err != nil {
		return nil, fmt.Errorf("matcher of label %s is %w: %w", m.Label, ErrInvalid, err)
	}
	return func(l map[string]string) bool { return re.MatchString(l[m.Label]) != m.Not }, nil
}

// matchers is the predicate that all of a list hold.
func matchers(list []Matcher) (func(labels map[string]string) bool, error) {
	all := make([]func(map[string]string) bool, len(list))
	for i, m := range list {
		var err error
		if all[i], err = m.compile(); err != nil {
			return nil, err
		}
	}
	return func(l map[string]string) bool {
		for _, ok := range all {
			if !ok(l) {
				return false
			}
		}
		return true
	}, nil
}
