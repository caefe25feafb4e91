package synthetics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

const (
	maxExpressionLength = 4096
	maxExpressionDepth  = 64
	// maxExpressionCost bounds one evaluation in CEL's cost units, about one per
	// step and per ten bytes of text looked at.
	maxExpressionCost = 1_000_000
)

// The languages of expressions: CEL with the variables of a request step or of a
// WebSocket step. They never change once made, and every expression holds on to
// its language, so all journeys share them.
var (
	requestLanguage = sync.OnceValues(func() (*cel.Env, error) {
		return newLanguage(
			cel.Variable("status", cel.IntType),
			cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
			cel.Variable("body", cel.DynType))
	})
	messageLanguage = sync.OnceValues(func() (*cel.Env, error) {
		return newLanguage(cel.Variable("message", cel.DynType))
	})
)

func newLanguage(variables ...cel.EnvOption) (*cel.Env, error) {
	return cel.NewEnv(append(variables,
		cel.Variable("text", cel.StringType),
		cel.Variable("vars", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ParserExpressionSizeLimit(maxExpressionLength),
	)...)
}

// An expression is compiled CEL.
type expression struct {
	source   string
	checked  *cel.Ast
	program  cel.Program
	language *cel.Env
}

// compile checks an expression's syntax, names and types. The error reads on from
// the field's name.
func compile(language func() (*cel.Env, error), source string) (expression, error) {
	env, err := language()
	if err != nil {
		return expression{}, fmt.Errorf("cannot be compiled: %w", err)
	}
	if strings.TrimSpace(source) == "" {
		return expression{}, errors.New("is empty: write a CEL expression")
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return expression{}, compileError(source, issues)
	}
	program, err := env.Program(checked, cel.CostLimit(maxExpressionCost))
	if err != nil {
		return expression{}, fmt.Errorf("%q cannot be compiled: %w", source, err)
	}
	return expression{source: source, checked: checked, program: program, language: env}, nil
}

// compileError is the first problem of an expression, in one line.
func compileError(source string, issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return fmt.Errorf("%q is no CEL expression: %w", source, issues.Err())
	}
	first := all[0]
	message := strings.TrimSuffix(first.Message, " (in container '')")
	message = strings.Join(strings.Fields(message), " ")
	return fmt.Errorf("%q is no CEL expression here: at character %d: %s", source, first.Location.Column()+1, message)
}

// compileCondition is compile for an expression that must yield true or false.
func compileCondition(language func() (*cel.Env, error), source string) (expression, error) {
	e, err := compile(language, source)
	if err != nil {
		return e, err
	}
	if out := e.checked.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return expression{}, fmt.Errorf("%q yields %s; an assertion must be true or false", source, cel.FormatCELType(out))
	}
	return e, nil
}

// vars lists the variables that the expression reads as vars.NAME.
func (e expression) vars() []string {
	var out []string
	ast.PreOrderVisit(e.checked.NativeRep().Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.SelectKind {
			return
		}
		sel := x.AsSelect()
		if op := sel.Operand(); op.Kind() == ast.IdentKind && op.AsIdent() == "vars" && !sel.IsTestOnly() {
			out = append(out, sel.FieldName())
		}
	}))
	return out
}

// holds evaluates a condition. The error says that it has no value.
func (e expression) holds(scope map[string]any) (bool, error) {
	out, _, err := e.program.Eval(scope)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it is %s, neither true nor false", out.Type().TypeName())
	}
	return bool(b), nil
}

// value evaluates an expression to a variable's value.
func (e expression) value(scope map[string]any) (any, error) {
	out, _, err := e.program.Eval(scope)
	if err != nil {
		return nil, err
	}
	return toNative(out, 0)
}

const maxValueDepth = 32

// toNative turns a CEL value into what JSON could have held, integers exact.
func toNative(v ref.Val, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, fmt.Errorf("value is nested more than %d deep", maxValueDepth)
	}
	switch v := v.(type) {
	case types.String, types.Int, types.Double, types.Bool:
		return v.Value(), nil
	case types.Uint:
		return toNative(v.ConvertToType(types.IntType), depth)
	case types.Null:
		return nil, nil
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, ok := key.Value().(string)
			if !ok {
				return nil, fmt.Errorf("map key %v is not a text", key.Value())
			}
			item, err := toNative(v.Get(key), depth+1)
			if err != nil {
				return nil, err
			}
			out[name] = item
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			item, err := toNative(it.Next(), depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, item)
		}
		return out, nil
	case *types.Err:
		return nil, v
	}
	text := v.ConvertToType(types.StringType)
	if s, ok := text.(types.String); ok {
		return string(s), nil
	}
	return nil, fmt.Errorf("a value of type %s cannot be kept", v.Type().TypeName())
}

// parseJSON decodes one JSON value with exact integers; ok is false if data is
// not one.
func parseJSON(data []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	return exactNumbers(v), true
}

func exactNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = exactNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exactNumbers(v[k])
		}
	}
	return v
}
