package payments

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"ghostlight/edgecore/httpapi"
)

// maxKeyLength bounds an Idempotency-Key, in bytes.
const maxKeyLength = 255

// An answer is what a guest's request comes to. One with a status is kept under
// its Idempotency-Key and given again, byte for byte.
type answer struct {
	status int
	body   []byte
}

// respond makes an answer of v.
func respond(status int, v any) (answer, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return answer{}, fmt.Errorf("encode answer: %w", err)
	}
	return answer{status: status, body: body}, nil
}

// refuse makes an answer of a sentence.
func refuse(status int, format string, args ...any) (answer, error) {
	return respond(status, map[string]string{"error": fmt.Sprintf(format, args...)})
}

// A request identifies one attempt of a guest: retries carry the same key and the
// same content.
type request struct {
	operation Kind
	key       string
	digest    [sha256.Size]byte
	synthetic bool
	timeMS    int64
}

// newRequest reads the key of r; its content is what path and decoded body say,
// so that a retry may be spelled with other white space.
func (l *Ledger) newRequest(r *http.Request, operation Kind, synthetic bool, body any) (request, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > maxKeyLength {
		return request{}, httpapi.Errorf(http.StatusBadRequest, "The header Idempotency-Key is needed, with 1 to %d characters, the same for each retry.", maxKeyLength)
	}
	content, err := json.Marshal(body)
	if err != nil {
		return request{}, fmt.Errorf("digest request: %w", err)
	}
	return request{
		operation: operation, key: key, synthetic: synthetic, timeMS: l.now().UnixMilli(),
		digest: sha256.Sum256(append([]byte(r.URL.Path+"\n"), content...)),
	}, nil
}

// outcome starts the report of what this request comes to.
func (q request) outcome() Outcome {
	return Outcome{TimeMS: q.timeMS, Kind: q.operation, Good: true, Synthetic: q.synthetic}
}

const selectAnswer = `SELECT digest, status, body FROM answers WHERE operation = ? AND synthetic = ? AND key = ?`

func (q request) keyArgs() []any { return []any{string(q.operation), q.synthetic, q.key} }

// once commits apply's answer together with the key, or gives the answer that the
// key has already. failure is reported if neither is possible.
func (l *Ledger) once(ctx context.Context, q request, failure Outcome, apply func(*txn) (answer, error)) (answer, error) {
	return l.do(ctx, failure, func(t *txn) (answer, error) {
		var digest []byte
		var held answer
		found, err := t.row(selectAnswer, q.keyArgs(), []any{&digest, &held.status, &held.body})
		if err != nil {
			return answer{}, err
		}
		if found {
			return q.again(digest, held)
		}
		a, err := apply(t)
		if err != nil {
			return answer{}, err
		}
		return a, t.exec(`INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)`,
			string(q.operation), q.synthetic, q.key, q.digest[:], a.status, a.body, q.timeMS)
	})
}

// again is the answer to a key that was used before.
func (q request) again(digest []byte, held answer) (answer, error) {
	if !bytes.Equal(digest, q.digest[:]) {
		return refuse(http.StatusUnprocessableEntity, "This Idempotency-Key was used for another request; use a new key for each.")
	}
	return held, nil
}

// answered looks for the answer of a key without going through the writer.
func (l *Ledger) answered(ctx context.Context, q request) (answer, bool, error) {
	var digest []byte
	var held answer
	err := l.read.QueryRowContext(ctx, selectAnswer, q.keyArgs()...).Scan(&digest, &held.status, &held.body)
	if errors.Is(err, sql.ErrNoRows) {
		return answer{}, false, nil
	}
	if err != nil {
		return answer{}, false, fmt.Errorf("read answers: %w", err)
	}
	a, err := q.again(digest, held)
	return a, true, err
}
