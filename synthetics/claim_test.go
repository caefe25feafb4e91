package synthetics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ghostlight/synthetics"
)

func TestClaim(t *testing.T) {
	key := []byte(strings.Repeat("k", synthetics.MinClaimKey))
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	parse := func(token string, key []byte, at time.Time) (*jwt.RegisteredClaims, error) {
		var c jwt.RegisteredClaims
		_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithValidMethods([]string{"HS256"}), jwt.WithAudience("edgecore"), jwt.WithExpirationRequired(),
			jwt.WithTimeFunc(func() time.Time { return at }))
		return &c, err
	}
	token, err := synthetics.Claim(key, "soho-1", "revenue-path", now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(token, key, now)
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "soho-1" || c.Subject != "revenue-path" || !c.IssuedAt.Equal(now) || c.ExpiresAt.Sub(now) != time.Minute || c.ID == "" {
		t.Errorf("claims %+v", c)
	}
	again, err := synthetics.Claim(key, "soho-1", "revenue-path", now)
	if err != nil || again == token {
		t.Errorf("two claims are the same (%v)", err)
	}
	if _, err := parse(token, key, now.Add(2*time.Minute)); err == nil {
		t.Error("an expired claim was accepted")
	}
	if _, err := parse(token, []byte(strings.Repeat("x", 32)), now); err == nil {
		t.Error("a claim of another key was accepted")
	}
	if _, err := synthetics.Claim(key[1:], "a", "b", now); err == nil {
		t.Error("a short key was accepted")
	}
}
