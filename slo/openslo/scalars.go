package openslo

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"ghostlight/slo"
)

// The scalars of OpenSLO are strict: YAML's liberties, such as a name that is a
// number, are read differently by different programs. Null is the zero value.

// text is text; a number or a truth value needs quotes to be one.
type text string

// UnmarshalYAML reads text.
func (t *text) UnmarshalYAML(node ast.Node) error {
	s, ok := plainText(node)
	if !ok {
		return errors.New("must be text: put it in quotes")
	}
	*t = text(s)
	return nil
}

// truths are words that YAML 1.1 takes for true or false; so do the programs
// that read OpenSLO.
var truths = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
}

func plainText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		_, truth := truths[n.Value]
		_, number := power(n)
		return n.Value, quoted(n) || !truth && !number
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		return "", true
	}
	return "", false
}

func quoted(n *ast.StringNode) bool {
	return n.Token != nil && n.Token.Indicator == token.QuotedScalarIndicator
}

var powers = regexp.MustCompile(`^[-+]?[0-9]+[eE][-+]?[0-9]+$`)

// power is a number such as 1e3, which the parser leaves as text.
func power(n *ast.StringNode) (float64, bool) {
	if quoted(n) || !powers.MatchString(n.Value) {
		return 0, false
	}
	v, err := strconv.ParseFloat(n.Value, 64)
	return v, err == nil
}

// list is one text or several.
type list []text

// UnmarshalYAML reads either form.
func (l *list) UnmarshalYAML(node ast.Node) error {
	wrong := errors.New("must be text or a list of texts")
	if seq, ok := node.(*ast.SequenceNode); ok {
		*l = list{}
		for _, item := range seq.Values {
			s, ok := plainText(item)
			if !ok {
				return wrong
			}
			*l = append(*l, text(s))
		}
		return nil
	}
	s, ok := plainText(node)
	if !ok {
		return wrong
	}
	*l = list{text(s)}
	return nil
}

// flag is true or false.
type flag bool

// UnmarshalYAML reads a flag.
func (f *flag) UnmarshalYAML(node ast.Node) error {
	switch n := node.(type) {
	case *ast.BoolNode:
		*f = flag(n.Value)
		return nil
	case *ast.StringNode:
		if v, ok := truths[n.Value]; ok && !quoted(n) {
			*f = flag(v)
			return nil
		}
	case *ast.NullNode:
		return nil
	}
	return errors.New("must be true or false")
}

// number is a finite number.
type number float64

// UnmarshalYAML reads a number.
func (n *number) UnmarshalYAML(node ast.Node) error {
	var v float64
	wrong := errors.New("must be a number")
	switch x := node.(type) {
	case *ast.IntegerNode:
		switch i := x.Value.(type) {
		case int64:
			v = float64(i)
		case uint64:
			v = float64(i)
		}
	case *ast.FloatNode:
		v = x.Value
	case *ast.StringNode:
		var ok bool
		if v, ok = power(x); !ok {
			return wrong
		}
	case *ast.NullNode:
	default:
		return wrong
	}
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return errors.New("must be a finite number")
	}
	*n = number(v)
	return nil
}

// shorthand is a number of units of time, such as 28d.
type shorthand struct {
	text  string
	count int
	unit  string
}

// UnmarshalYAML reads a shorthand as leniently as OpenSLO's own library does;
// what it then makes no sense of is told apart from what is no shorthand at all.
func (s *shorthand) UnmarshalYAML(node ast.Node) error {
	written, ok := plainText(node)
	s.text = written
	if !ok {
		return errors.New("must be a number of units of time, such as 28d")
	}
	if written == "" {
		return nil
	}
	if n, err := fmt.Sscanf(written, "%d%s", &s.count, &s.unit); err != nil || n != 2 {
		return fmt.Errorf("is %q; allowed: a number and one of m, h, d, w, M, Q, Y, such as 28d", written)
	}
	return nil
}

// MarshalText writes it as it was written.
func (s shorthand) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// valid reports whether OpenSLO knows the unit and allows the number.
func (s shorthand) valid() bool {
	return s.count >= 0 && slices.Contains([]string{"m", "h", "d", "w", "M", "Q", "Y"}, s.unit)
}

// exact reports whether it is written without liberties and is some time.
func (s shorthand) exact() bool {
	return s.valid() && s.count > 0 && s.text == fmt.Sprintf("%d%s", s.count, s.unit)
}

// length is the nominal time it stands for, at most a year.
func (s shorthand) length() (time.Duration, bool) {
	if !s.exact() || s.count > 366*24*60 {
		return 0, false
	}
	d := slo.Window{Count: s.count, Unit: slo.Unit(s.unit[0])}.Period()
	return d, d <= 366*24*time.Hour
}
