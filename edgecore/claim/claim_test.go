package claim_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ghostlight/edgecore/claim"
)

var key = []byte(strings.Repeat("k", claim.MinKey))

func sign(t *testing.T, method jwt.SigningMethod, key any, edit func(*jwt.RegisteredClaims), now time.Time) string {
	t.Helper()
	c := jwt.RegisteredClaims{
		Issuer: "probe", Subject: "revenue-path", ID: "1", Audience: jwt.ClaimStrings{claim.Audience},
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	}
	edit(&c)
	s, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerify(t *testing.T) {
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	v, err := claim.NewVerifier(key, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	same := func(*jwt.RegisteredClaims) {}
	for _, tc := range []struct {
		name  string
		token string
		ok    bool
	}{
		{"valid", sign(t, jwt.SigningMethodHS256, key, same, now), true},
		{"our clock is behind within the leeway", sign(t, jwt.SigningMethodHS256, key, same, now.Add(20*time.Second)), true},
		{"other key", sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), same, now), false},
		{"unsigned", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same, now), false},
		{"other algorithm", sign(t, jwt.SigningMethodHS512, key, same, now), false},
		{"expired", sign(t, jwt.SigningMethodHS256, key, same, now.Add(-2*time.Minute)), false},
		{"from the future", sign(t, jwt.SigningMethodHS256, key, same, now.Add(5*time.Minute)), false},
		{"lives too long", sign(t, jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.ExpiresAt = jwt.NewNumericDate(now.Add(time.Hour)) }, now), false},
		{"never expires", sign(t, jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }, now), false},
		{"no iat", sign(t, jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.IssuedAt = nil }, now), false},
		{"no jti", sign(t, jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.ID = "" }, now), false},
		{"other audience", sign(t, jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.Audience = jwt.ClaimStrings{"till"} }, now), false},
		{"garbage", "x.y.z", false},
		{"empty", "", false},
	} {
		journey, err := v.Verify(tc.token)
		if (err == nil) != tc.ok || (tc.ok && journey != "revenue-path") {
			t.Errorf("%s: %q, %v", tc.name, journey, err)
		}
	}
}

func TestKeys(t *testing.T) {
	if _, err := claim.NewVerifier([]byte("short"), time.Now); err == nil {
		t.Error("a short key is accepted")
	}
	v, err := claim.NewVerifier(nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(sign(t, jwt.SigningMethodHS256, []byte{}, func(*jwt.RegisteredClaims) {}, time.Now())); err == nil {
		t.Error("without a key a claim signed with the empty key passes")
	}
}

func TestMiddlewareNeverTakesABadClaimForAGuest(t *testing.T) {
	v, err := claim.NewVerifier(key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	reached, synthetic := false, false
	h := v.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached, synthetic = true, claim.Synthetic(r.Context())
	}))
	good := sign(t, jwt.SigningMethodHS256, key, func(*jwt.RegisteredClaims) {}, time.Now())
	for _, tc := range []struct {
		name               string
		claims             []string
		reached, synthetic bool
	}{
		{"guest", nil, true, false},
		{"probe", []string{good}, true, true},
		{"forged", []string{"x"}, false, false},
		{"empty", []string{""}, false, false},
		{"twice", []string{good, good}, false, false},
	} {
		reached, synthetic = false, false
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, c := range tc.claims {
			req.Header.Add(claim.Header, c)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if reached != tc.reached || synthetic != tc.synthetic || (!tc.reached && rec.Code != http.StatusUnauthorized) {
			t.Errorf("%s: reached %v, synthetic %v, status %d", tc.name, reached, synthetic, rec.Code)
		}
	}
}

func FuzzVerify(f *testing.F) {
	v, err := claim.NewVerifier(key, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if journey, err := v.Verify(token); err == nil {
			t.Fatalf("a claim signed by nobody passes as %q", journey)
		}
	})
}
