package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader proves who sent a body and when:
//
//	Ghostlight-Signature: t=1783195200,v1=<hex>
//
// t is Unix seconds. v1 is the HMAC-SHA256, by the shared secret, of t in decimal, a
// full stop, and the body's bytes. While a secret is being replaced there is one v1
// for each. See [Verify].
const SignatureHeader = "Ghostlight-Signature"

// DeliveryHeader names a message: a repeat of the same has the same name.
const DeliveryHeader = "Ghostlight-Delivery"

// minSecret is the fewest bytes of a secret: those of the hash's security.
const minSecret = 16

// A Signed posts pages as JSON of our own with all their facts, and signs them.
type Signed struct {
	name, url string
	secrets   [][]byte
	client    *http.Client
}

// NewSigned makes a receiver of the given name that posts to url and signs by each of
// the secrets. client may be nil.
func NewSigned(name, url string, secrets [][]byte, client *http.Client) (*Signed, error) {
	if err := checkURL(url); err != nil {
		return nil, fmt.Errorf("signed webhook %s: %w", name, err)
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("signed webhook %s is %w: it has no secret", name, ErrInvalid)
	}
	for _, s := range secrets {
		if len(s) < minSecret {
			return nil, fmt.Errorf("signed webhook %s is %w: a secret must have at least %d bytes", name, ErrInvalid, minSecret)
		}
	}
	return &Signed{name, url, secrets, orDefault(client)}, nil
}

// signedMessage is the body, version 1.
type signedMessage struct {
	Version  int          `json:"version"`
	Receiver string       `json:"receiver"`
	Group    string       `json:"group"`
	SentAt   time.Time    `json:"sent_at"`
	Pages    []signedPage `json:"pages"`
}

type signedPage struct {
	Phase   Phase  `json:"phase"`
	Change  int64  `json:"change"` // rises with each page of one key; a repeat has the same
	Summary string `json:"summary"`
	Text    string `json:"text"`
	Notification
}

// Send posts and signs one group.
func (s *Signed) Send(ctx context.Context, m Message) error {
	msg := signedMessage{Version: 1, Receiver: s.name, Group: m.Group, SentAt: m.At.UTC()}
	name := sha256.New()
	for _, p := range m.Pages {
		fmt.Fprintf(name, "%q %d\n", p.Key, p.Change)
		msg.Pages = append(msg.Pages, signedPage{p.Phase, p.Change, p.Summary(), p.Text(), p.Notification})
	}
	body, err := json.Marshal(msg)
	if err != nil {
		return fmt.Errorf("encode signed webhook: %w", err)
	}
	at := strconv.FormatInt(m.At.Unix(), 10)
	sig := "t=" + at
	for _, secret := range s.secrets {
		sig += ",v1=" + hex.EncodeToString(sign(secret, at, body))
	}
	header := http.Header{}
	header.Set(SignatureHeader, sig)
	header.Set(DeliveryHeader, hex.EncodeToString(name.Sum(nil)[:16]))
	return post(ctx, s.client, s.url, header, body)
}

func sign(secret []byte, at string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// ErrSignature means that a message is not proven to be from who shares the secret.
var ErrSignature = errors.New("signature is not valid")

// Verify checks the signature header of a body: one v1 must be of the secret, and its
// time not further from now than the tolerance, so that an old message cannot be
// played again. It is what a receiver should do.
func Verify(secret []byte, header string, body []byte, now time.Time, tolerance time.Duration) error {
	fields := strings.Split(header, ",")
	at, ok := strings.CutPrefix(fields[0], "t=")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("%w: it has no time", ErrSignature)
	}
	if off := now.Sub(time.Unix(seconds, 0)).Abs(); off > tolerance {
		return fmt.Errorf("%w: it is %s off; allowed: %s", ErrSignature, off, tolerance)
	}
	want := sign(secret, at, body)
	for _, f := range fields[1:] {
		v, ok := strings.CutPrefix(f, "v1=")
		got, err := hex.DecodeString(v)
		if ok && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return fmt.Errorf("%w: none of its values is of this secret", ErrSignature)
}
