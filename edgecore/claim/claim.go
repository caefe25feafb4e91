// Package claim recognises synthetic traffic: requests of probes that walk the
// real code path and must never count as business. A probe signs a short-lived
// claim with the node's synthetic key; whatever carries it belongs to the
// synthetic partition. A claim that does not verify is refused, and never treated
// as a guest.
package claim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ghostlight/edgecore/httpapi"
)

// Header carries the claim, a JWT signed with HS256.
const Header = "Synthetic-Claim"

// Audience is the aud a claim must name.
const Audience = "edgecore"

// Limits of a claim.
const (
	MaxLifetime = 120 * time.Second // from iat to exp
	Leeway      = 30 * time.Second  // between the probe's clock and ours
	MinKey      = 32                // bytes of the shared key
)

// A Verifier checks claims. One without a key refuses them all.
type Verifier struct {
	key    []byte
	parser *jwt.Parser
}

// NewVerifier returns a verifier for key, which is empty or has at least
// [MinKey] bytes.
func NewVerifier(key []byte, now func() time.Time) (*Verifier, error) {
	if len(key) > 0 && len(key) < MinKey {
		return nil, fmt.Errorf("synthetic key has %d bytes; at least %d are needed", len(key), MinKey)
	}
	return &Verifier{key: key, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithAudience(Audience), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(now))}, nil
}

// Verify returns the journey that a claim speaks for.
func (v *Verifier) Verify(token string) (journey string, err error) {
	if len(v.key) == 0 {
		return "", errors.New("no synthetic key is configured")
	}
	var c jwt.RegisteredClaims
	if _, err := v.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return v.key, nil }); err != nil {
		return "", fmt.Errorf("verify synthetic claim: %w", err)
	}
	switch {
	case c.IssuedAt == nil:
		return "", errors.New("synthetic claim has no iat")
	case c.ExpiresAt.Sub(c.IssuedAt.Time) > MaxLifetime:
		return "", fmt.Errorf("synthetic claim lives longer than %v", MaxLifetime)
	case c.Issuer == "" || c.Subject == "" || c.ID == "":
		return "", errors.New("synthetic claim lacks iss, sub or jti")
	}
	return c.Subject, nil
}

type contextKey struct{}

// Synthetic reports whether the request of ctx carried a valid claim.
func Synthetic(ctx context.Context) bool {
	journey, ok := ctx.Value(contextKey{}).(string)
	return ok && journey != ""
}

// Middleware marks requests that carry a valid claim and answers 401 to an
// invalid one.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := r.Header.Values(Header)
		if len(values) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		journey, err := "", errors.New("several claims")
		if len(values) == 1 {
			journey, err = v.Verify(values[0])
		}
		if err != nil {
			httpapi.WriteError(w, httpapi.Errorf(http.StatusUnauthorized, "The synthetic claim is not valid: %v.", err))
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, journey)))
	})
}
