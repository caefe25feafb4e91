package payments

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audiences keep a ticket from passing as a receipt and the reverse.
const (
	ticketAudience  = "edgecore/ticket"
	receiptAudience = "edgecore/receipt"
)

const (
	ticketLife  = 7 * 24 * time.Hour
	clockLeeway = 30 * time.Second // a ticket may come from a moment ahead of our clock
)

// A signer makes and checks the ledger's tickets and receipts: compact JWS with
// EdDSA (RFC 8037). Whoever has the public key can check a receipt offline.
type signer struct {
	key      ed25519.PrivateKey
	keyID    string
	issuer   string
	now      func() time.Time
	tickets  *jwt.Parser
	receipts *jwt.Parser
}

func newSigner(key ed25519.PrivateKey, issuer string, now func() time.Time) *signer {
	sum := sha256.Sum256(key.Public().(ed25519.PublicKey))
	common := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer),
		jwt.WithLeeway(clockLeeway), jwt.WithTimeFunc(now),
	}
	return &signer{
		key: key, keyID: hex.EncodeToString(sum[:8]), issuer: issuer, now: now,
		tickets:  jwt.NewParser(append(common[:len(common):len(common)], jwt.WithAudience(ticketAudience), jwt.WithExpirationRequired())...),
		receipts: jwt.NewParser(append(common[:len(common):len(common)], jwt.WithAudience(receiptAudience))...),
	}
}

// ticketClaims are what a ticket says.
type ticketClaims struct {
	jwt.RegisteredClaims
	Synthetic bool `json:"synthetic,omitempty"`
}

// receiptClaims are what a receipt says.
type receiptClaims struct {
	jwt.RegisteredClaims        // sub is the payment
	OrderID              string `json:"order_id"`
	AmountMinor          int64  `json:"amount_minor"`
	Currency             string `json:"currency"`
	Method               string `json:"method"`
	Synthetic            bool   `json:"synthetic,omitempty"`
}

func (s *signer) registered(subject, audience string) jwt.RegisteredClaims {
	return jwt.RegisteredClaims{Issuer: s.issuer, Subject: subject, Audience: jwt.ClaimStrings{audience}, IssuedAt: jwt.NewNumericDate(s.now())}
}

func (s *signer) sign(kind string, claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["typ"], token.Header["kid"] = kind, s.keyID
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", kind, err)
	}
	return signed, nil
}

func (s *signer) publicKey(*jwt.Token) (any, error) { return s.key.Public(), nil }

func (s *signer) ticket(id string, synthetic bool) (string, error) {
	c := ticketClaims{RegisteredClaims: s.registered(id, ticketAudience), Synthetic: synthetic}
	c.ExpiresAt = jwt.NewNumericDate(s.now().Add(ticketLife))
	return s.sign("ticket+jwt", c)
}

// checkTicket returns the id of a ticket valid in the partition given.
func (s *signer) checkTicket(token string, synthetic bool) (id string, ok bool) {
	var c ticketClaims
	if _, err := s.tickets.ParseWithClaims(token, &c, s.publicKey); err != nil {
		return "", false
	}
	return c.Subject, c.Subject != "" && c.Synthetic == synthetic
}

func (s *signer) receipt(p payment) (string, error) {
	return s.sign("receipt+jwt", receiptClaims{
		RegisteredClaims: s.registered(p.id, receiptAudience),
		OrderID:          p.order, AmountMinor: p.amount, Currency: p.currency, Method: p.method, Synthetic: p.synthetic,
	})
}

// checkReceipt returns what a receipt of the partition given says.
func (s *signer) checkReceipt(token string, synthetic bool) (receiptClaims, bool) {
	var c receiptClaims
	if _, err := s.receipts.ParseWithClaims(token, &c, s.publicKey); err != nil {
		return receiptClaims{}, false
	}
	return c, c.Subject != "" && c.Synthetic == synthetic
}
