package openslo

import (
	"fmt"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"ghostlight/internal/strictyaml"
)

// Limits on a file's shape. The parser's time and memory grow with the square of
// nesting, and aliases can make a short file mean an enormous one.
const (
	maxBytes  = 256 << 10
	maxDepth  = 16  // brackets and braces open at once
	maxColumn = 200 // of a line's first token
	maxInline = 4   // block structure begun on one line, such as "- - a: b: c"
)

// guard refuses a file that would cost too much to parse, and what no objective needs:
// anchors, aliases and tags. Objectives
// also arrive from nodes, so that a malformed one must stay cheap.
func guard(name string, data []byte) error {
	if len(data) > maxBytes {
		return &strictyaml.Error{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("is %d bytes long; allowed: %d", len(data), maxBytes)}
	}
	depth, inline, line := 0, 0, 0
	for _, t := range lexer.Tokenize(string(data)) {
		if t.Position.Line != line {
			line, inline = t.Position.Line, 0
			if depth == 0 && t.Position.Column > maxColumn {
				return refuse(name, t, fmt.Sprintf("is indented by %d; allowed: %d", t.Position.Column-1, maxColumn-1))
			}
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			if depth++; depth > maxDepth {
				return refuse(name, t, fmt.Sprintf("is nested too deeply; allowed: %d brackets", maxDepth))
			}
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			if depth > 0 {
				continue
			}
			if inline++; inline > maxInline {
				return refuse(name, t, fmt.Sprintf("begins too much on one line; allowed: %d", maxInline))
			}
		case token.AnchorType, token.AliasType, token.TagType:
			return refuse(name, t, "is an anchor, an alias or a tag; allowed: plain values, written out")
		}
	}
	return nil
}

func refuse(name string, t *token.Token, message string) error {
	return &strictyaml.Error{File: name, Line: t.Position.Line, Column: t.Position.Column, Message: message}
}
