package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrRejected means that a receiver works but does not take a message.
var ErrRejected = errors.New("rejected")

// send makes one try, which is given up after the timeout.
func (c *courier) send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.n.o.Timeout)
	defer cancel()
	return c.route.Receiver.Send(ctx, m)
}

// busyError is a receiver that asks for patience.
type busyError struct {
	after time.Duration
	err   error
}

func (b *busyError) Error() string { return b.err.Error() }
func (b *busyError) Unwrap() error { return b.err }

// post sends one body. Anything but a 2xx is an error: [ErrRejected] where a repeat
// of the same will not be taken, else that of a receiver that does not work now.
func post(ctx context.Context, client *http.Client, address string, header http.Header, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("post to receiver: its address is no URL")
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	return do(client, req)
}

// do makes a request and judges the answer. Errors name the host alone: the rest of
// an address often holds the secret that lets one in.
func do(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		if whole := new(url.Error); errors.As(err, &whole) {
			err = whole.Err
		}
		return fmt.Errorf("%s to %s: %w", req.Method, req.URL.Host, err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // only to say more in the error
	if resp.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("%s to %s: %s: %q", req.Method, req.URL.Host, resp.Status, said)
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // absent or a date: 0
		return &busyError{time.Duration(seconds) * time.Second, err}
	case code/100 == 4 && code != http.StatusRequestTimeout && code != http.StatusTooEarly && code != http.StatusUnauthorized && code != http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return err
}
