package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
)

// accept asks for OpenMetrics first, for it knows units, then for the classic
// text format; names that only the newest formats can spell are escaped.
const accept = "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5," +
	"application/openmetrics-text;version=0.0.1;q=0.4," +
	"text/plain;version=1.0.0;escaping=underscores;q=0.3," +
	"text/plain;version=0.0.4;q=0.2,*/*;q=0.1"

// keepBody is the most memory that a target's body buffer keeps between scrapes.
const keepBody = 1 << 20

// fetch reads the target's body into t.body and returns its content type.
func (t *target) fetch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.cfg.URL, http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", "ghostlight-agent")
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(t.cfg.Timeout.Seconds(), 'f', -1, 64))
	resp, err := t.client.Do(req)
	if err != nil {
		return "", t.explain(ctx, err)
	}
	defer func() {
		io.CopyN(io.Discard, resp.Body, 64<<10) //nolint:errcheck // only so that the connection can be kept
		resp.Body.Close()
	}()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the target answered %s", resp.Status)
	}
	var body io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = t.gunzip(resp.Body); err != nil {
			return "", t.explain(ctx, err)
		}
	}
	limit := t.cfg.BodyLimit
	if limit <= 0 {
		limit = math.MaxInt64 - 1
	}
	if t.body.Cap() > keepBody {
		t.body = bytes.Buffer{}
	}
	t.body.Reset()
	n, err := t.body.ReadFrom(io.LimitReader(body, limit+1))
	switch {
	case err != nil:
		return "", t.explain(ctx, err)
	case n > limit:
		return "", fmt.Errorf("the body is longer than body_limit (%d bytes)", limit)
	}
	return resp.Header.Get("Content-Type"), nil
}

func (t *target) gunzip(r io.Reader) (io.Reader, error) {
	if t.gz != nil {
		return t.gz, t.gz.Reset(r)
	}
	gz, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	t.gz = gz
	return gz, nil
}

// explain turns a transport error into what the reader of a status page needs:
// the cause without the address, which stands beside it.
func (t *target) explain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no complete answer within %s", t.cfg.Timeout)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
