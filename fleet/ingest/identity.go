package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"ghostlight/buffer"
)

// ErrUnauthorized means that a request carries no credential of a node.
var ErrUnauthorized = errors.New("the credential is missing or belongs to no node of this fleet")

// An Identifier says which node a connection belongs to.
type Identifier interface {
	// Identify returns the node whose credential r carries, or
	// [ErrUnauthorized].
	Identify(r *http.Request) (buffer.Source, error)
}

// Tokens identifies nodes by bearer tokens, of which it holds only digests.
type Tokens struct {
	digests [][sha256.Size]byte
	sources []buffer.Source // of the digest at the same place
}

// NewTokens takes one token for each node. Tokens must be distinct.
func NewTokens(tokens map[buffer.Source]string) (*Tokens, error) {
	t := &Tokens{}
	seen := map[[sha256.Size]byte]bool{}
	for src, token := range tokens {
		if token == "" {
			return nil, fmt.Errorf("token of %s is empty", src)
		}
		digest := sha256.Sum256([]byte(token))
		if seen[digest] {
			return nil, fmt.Errorf("token of %s is another node's too: give each its own", src)
		}
		seen[digest] = true
		t.digests, t.sources = append(t.digests, digest), append(t.sources, src)
	}
	return t, nil
}

// Identify implements [Identifier]. Its time depends on the number of nodes, not on
// how much of a token is right.
func (t *Tokens) Identify(r *http.Request) (buffer.Source, error) {
	token, ok := bearer(r)
	if !ok {
		return buffer.Source{}, ErrUnauthorized
	}
	digest := sha256.Sum256([]byte(token))
	found := -1
	for i := range t.digests {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], t.digests[i][:]), i, found)
	}
	if found < 0 {
		return buffer.Source{}, ErrUnauthorized
	}
	return t.sources[found], nil
}

func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}
