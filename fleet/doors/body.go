package doors

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"golang.org/x/sync/semaphore"

	"ghostlight/buffer"
)

// queueTimeout is how long a request waits for its turn.
const queueTimeout = 10 * time.Second

// A body is one request as it is worked on.
type body struct {
	msg     []byte // decompressed
	wire    int    // bytes as it travelled
	release func() // gives back what it holds of the semaphores
}

// hold takes n of each semaphore, or none, within queueTimeout.
func hold(ctx context.Context, n int64, sems ...*semaphore.Weighted) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	for i, s := range sems {
		if err := s.Acquire(ctx, n); err != nil {
			for _, held := range sems[:i] {
				held.Release(n)
			}
			return nil, later("too many requests are being taken; try again")
		}
	}
	return func() {
		for _, s := range sems {
			s.Release(n)
		}
	}, nil
}

// read reads and decompresses the body of r. On success the caller releases it.
func (d *Doors) read(w http.ResponseWriter, r *http.Request, src buffer.Source, encoding string) (body, error) {
	limit := d.o.Limits.Bytes
	size := limit
	if r.ContentLength >= 0 {
		size = r.ContentLength
	}
	if size > limit {
		return body{}, faultf(tooLarge, "request has %d bytes, at most %d are taken; send fewer at once", size, limit)
	}
	release, err := hold(r.Context(), size, d.share(src), d.bodies)
	if err != nil {
		return body{}, err
	}
	defer release()
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(d.o.Limits.Timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return body{}, later("request cannot be read: %w", err)
	}
	packed, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooMuch *http.MaxBytesError
	switch {
	case errors.As(err, &tooMuch):
		return body{}, faultf(tooLarge, "request has more than %d bytes; send fewer at once", limit)
	case err != nil:
		return body{}, later("request was cut short: %w", err)
	}
	b, err := d.unpack(r.Context(), packed, encoding)
	b.wire = len(packed)
	return b, err
}

// unpack decompresses a request; memory is held before it is taken.
func (d *Doors) unpack(ctx context.Context, packed []byte, encoding string) (body, error) {
	switch encoding {
	case "snappy":
		return d.unsnap(ctx, packed)
	case "gzip":
		return d.unzip(ctx, packed)
	case "zstd":
		return d.unzstd(ctx, packed)
	}
	release, err := hold(ctx, int64(len(packed)), d.messages)
	return body{msg: packed, release: release}, err
}

func (d *Doors) unsnap(ctx context.Context, packed []byte) (body, error) {
	n, err := snappy.DecodedLen(packed)
	if err != nil {
		return body{}, faultf(malformed, "request is not snappy: %w", err)
	}
	if int64(n) > d.o.Limits.Bytes {
		return body{}, faultf(tooLarge, "request has %d bytes decompressed, at most %d are taken; send fewer at once", n, d.o.Limits.Bytes)
	}
	release, err := hold(ctx, int64(n), d.messages)
	if err != nil {
		return body{}, err
	}
	msg, err := snappy.Decode(nil, packed)
	if err != nil {
		release()
		return body{}, faultf(malformed, "request is not snappy: %w", err)
	}
	return body{msg: msg, release: release}, nil
}

// usualRatio is what compression is expected to save; a request that it saves more of
// holds as much as the largest.
const usualRatio = 20

func (d *Doors) unzip(ctx context.Context, packed []byte) (body, error) {
	return d.inflate(ctx, packed, "gzip", 0, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
}

// inflate decompresses what may not tell how large it becomes. What a decoder needs of
// memory is held together with what the request does, lest requests that have the one
// wait for each other's other.
func (d *Doors) inflate(ctx context.Context, packed []byte, encoding string, needs int64, open func(io.Reader) (io.Reader, error)) (body, error) {
	limit := d.o.Limits.Bytes
	for _, room := range []int64{min(limit, usualRatio*int64(len(packed))), limit} {
		release, err := hold(ctx, room+needs, d.messages)
		if err != nil {
			return body{}, err
		}
		var msg []byte
		z, err := open(bytes.NewReader(packed))
		if err == nil {
			msg, err = io.ReadAll(io.LimitReader(z, room+1))
		}
		switch {
		case err != nil:
			release()
			return body{}, faultf(malformed, "request is not %s: %w", encoding, err)
		case int64(len(msg)) <= room:
			return body{msg: msg, release: release}, nil
		}
		release()
	}
	return body{}, faultf(tooLarge, "request has more than %d bytes decompressed; send fewer at once", limit)
}
