// Package httpapi is what every HTTP door of edgecore does alike: bounded JSON
// bodies, errors as one JSON sentence, bearer tokens compared in constant time,
// request metrics by route, traces that continue the caller's, and a server that
// stops within its grace period.
//
// It never reads more of a body than its limit and never lets a panic of a
// handler end the process.
package httpapi

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// MaxBody bounds the body of an ordinary request, in bytes.
const MaxBody = 32 << 10

// An Error is an answer other than success: a status and a sentence for people.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an [Error].
func Errorf(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// WriteError answers with err: as itself if it is an [Error], else as a 500 that
// tells nothing of the inside.
func WriteError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = Errorf(http.StatusInternalServerError, "The request failed inside; try again.")
	}
	if e.Status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "2")
	}
	WriteJSON(w, e.Status, struct {
		Error string `json:"error"`
	}{e.Message})
}

// WriteJSON answers with v as JSON. An error of the connection is the client's
// to notice.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"The answer could not be encoded."}`)
	}
	WriteRaw(w, status, body)
}

// WriteRaw answers with a body that is JSON already.
func WriteRaw(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // see above
}

// ReadJSON decodes the request's body into v. An empty body leaves v as it is.
// The error is an [Error]: 413 for a body over limit bytes, 400 for what is not
// one JSON value of the right shape.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return Errorf(http.StatusRequestEntityTooLarge, "The body is larger than %d bytes.", limit)
		}
		return Errorf(http.StatusBadRequest, "The body could not be read: %v.", err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return Errorf(http.StatusBadRequest, "The body is not the JSON expected here: %v.", err)
	}
	return nil
}

// Bearer lets a request pass to next only with the token given; any other is
// answered with 401.
func Bearer(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if !ok || token == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			WriteError(w, Errorf(http.StatusUnauthorized, "A valid bearer token is needed here."))
			return
		}
		next.ServeHTTP(w, r)
	})
}
