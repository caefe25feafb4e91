package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
)

// A Hub is the [Origin] that edgecore's hub role serves: objects by GET below one
// URL, with an ETag and a Content-Digest (RFC 9530), which is checked.
type Hub struct {
	base   string
	client *http.Client
}

// NewHub returns the origin below base, such as http://hub:7410/hub/v1.
func NewHub(base string, client *http.Client) *Hub {
	return &Hub{base: strings.TrimSuffix(base, "/"), client: client}
}

// Fetch implements [Origin].
func (h *Hub) Fetch(ctx context.Context, key, etag string) (Object, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+"/"+key, nil)
	if err != nil {
		return Object{}, fmt.Errorf("fetch %s: %w", key, err)
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	resp, err := h.client.Do(req)
	if err != nil {
		return Object{}, fmt.Errorf("fetch %s: %w", key, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && etag != "":
		return Object{}, ErrNotModified
	case resp.StatusCode == http.StatusNotFound:
		return Object{}, ErrNotFound
	case resp.StatusCode != http.StatusOK:
		return Object{}, fmt.Errorf("fetch %s: the hub answered %s", key, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxObjectBytes+1))
	if err != nil {
		return Object{}, fmt.Errorf("fetch %s: %w", key, err)
	}
	if len(body) > MaxObjectBytes {
		return Object{}, fmt.Errorf("fetch %s: more than %d bytes", key, MaxObjectBytes)
	}
	if err := checkDigest(resp.Header.Get("Content-Digest"), body); err != nil {
		return Object{}, fmt.Errorf("fetch %s: %w", key, err)
	}
	return Object{ETag: resp.Header.Get("ETag"), ContentType: resp.Header.Get("Content-Type"), Body: body}, nil
}

// checkDigest compares body with a Content-Digest header of one sha-256 value.
func checkDigest(header string, body []byte) error {
	encoded, ok := strings.CutPrefix(header, "sha-256=:")
	encoded, ok2 := strings.CutSuffix(encoded, ":")
	if !ok || !ok2 {
		return fmt.Errorf("Content-Digest %q is not one sha-256 value", header)
	}
	want, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("Content-Digest %q: %w", header, err)
	}
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], want) {
		return errors.New("the body does not match its Content-Digest")
	}
	return nil
}
