package synthetics

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// ClaimHeader carries the signed claim that a request is synthetic.
const ClaimHeader = "Synthetic-Claim"

// MinClaimKey is the least length of a claim key in bytes.
const MinClaimKey = 32

const (
	claimAudience = "edgecore"
	claimLife     = 60 * time.Second
)

// Claim signs the claim that a request belongs to a run of journey and not to a
// customer: a JWT (HS256) with iss, sub, aud "edgecore", iat, exp 60 s after now
// and a random jti. It fails on a key shorter than [MinClaimKey].
func Claim(key []byte, issuer, journey string, now time.Time) (string, error) {
	if len(key) < MinClaimKey {
		return "", fmt.Errorf("synthetic key has %d bytes; at least %d are needed", len(key), MinClaimKey)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("claim for journey %s: %w", journey, err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer:    issuer,
		Subject:   journey,
		Audience:  jwt.ClaimStrings{claimAudience},
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(claimLife)),
		ID:        id.String(),
	})
	signed, err := token.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("claim for journey %s: %w", journey, err)
	}
	return signed, nil
}
