package synthetics

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/interpreter"
)

const (
	maxExplained   = 6   // values told of one expression
	maxValueShown  = 80  // bytes of each
	maxAnswerShown = 160 // bytes of an answer that says why
)

// connectives are looked into for the values that decide them.
var connectives = []string{
	operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional,
	operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
	operators.In, operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
}

// explain tells the values in an expression: "status = 402, size(body.items) =
// 0". It evaluates the expression once more, keeping track; it is only used when
// something failed. The answer is empty where there is nothing to tell.
func (e expression) explain(scope map[string]any) string {
	program, err := e.language.Program(e.checked, cel.CostLimit(maxExpressionCost), cel.EvalOptions(cel.OptTrackState))
	if err != nil {
		return ""
	}
	_, details, _ := program.Eval(scope) // an error is no news here; what was seen before it is
	rep := e.checked.NativeRep()
	x := explainer{rep: rep, state: details.State()}
	x.look(rep.Expr())
	return strings.Join(x.told, ", ")
}

type explainer struct {
	rep   *ast.AST
	state interpreter.EvalState
	told  []string
}

func (x *explainer) look(e ast.Expr) {
	switch e.Kind() {
	case ast.LiteralKind:
		return
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			x.look(item)
		}
		return
	case ast.ComprehensionKind:
		x.look(e.AsComprehension().IterRange())
		return
	case ast.CallKind:
		if call := e.AsCall(); slices.Contains(connectives, call.FunctionName()) {
			for _, arg := range call.Args() {
				x.look(arg)
			}
			return
		}
	}
	x.tell(e)
}

func (x *explainer) tell(e ast.Expr) {
	if len(x.told) == maxExplained {
		return
	}
	name, err := cel.ExprToString(e, x.rep.SourceInfo())
	if err != nil {
		return
	}
	shown := "absent"
	if v, ok := x.state.Value(e.ID()); ok {
		native, err := toNative(v, 0)
		if err == nil {
			shown = show(native)
		}
	}
	if line := name + " = " + shown; !slices.Contains(x.told, line) {
		x.told = append(x.told, line)
	}
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return shorten(string(b), maxValueShown)
}

// shorten makes a text of foreign origin fit for a sentence: printable, one line,
// at most limit bytes.
func shorten(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.TrimSpace(s))
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "..."
}
