package doors

import (
	"context"
	"io"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// zstdWindow is the largest window that every sender may ask for, bytes; each takes as
// much memory while it is read.
// Source: RFC 8878, section 3.1.1.1.2.
const zstdWindow = 8 << 20

// newZstd reads zstd, with windows of up to window bytes. Without concurrency it owns
// no goroutines and need not be closed.
func newZstd(r io.Reader, window int64) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(max(window, zstd.MinWindowSize))))
}

// unzstd decompresses a request; memory is held for its window, too.
func (d *Doors) unzstd(ctx context.Context, packed []byte) (body, error) {
	var h zstd.Header
	if err := h.Decode(packed); err != nil {
		return body{}, faultf(malformed, "request is not zstd: %w", err)
	}
	limit := d.o.Limits.Bytes
	if h.HasFCS && h.FrameContentSize > uint64(limit) {
		return body{}, faultf(tooLarge, "request has %d bytes decompressed, at most %d are taken; send fewer at once", h.FrameContentSize, limit)
	}
	if h.SingleSegment {
		h.WindowSize = h.FrameContentSize
	}
	most := max(limit, zstdWindow)
	if h.WindowSize > uint64(most) {
		return body{}, faultf(tooLarge, "request needs a zstd window of %d bytes, at most %d are taken; compress at a lower level, or send fewer at once", h.WindowSize, most)
	}
	window := int64(h.WindowSize)
	return d.inflate(ctx, packed, "zstd", min(window, limit), func(r io.Reader) (io.Reader, error) { return newZstd(r, window) })
}

// gRPC knows compressors by a registry of the process, which may be written only
// while it starts.
func init() { encoding.RegisterCompressor(zstdCompressor{}) }

// zstdCompressor is what collectors mean by zstd over gRPC; gRPC bounds what is read
// of it.
type zstdCompressor struct{}

// Name implements encoding.Compressor.
func (zstdCompressor) Name() string { return "zstd" }

// Decompress implements encoding.Compressor.
func (zstdCompressor) Decompress(r io.Reader) (io.Reader, error) { return newZstd(r, zstdWindow) }

// Compress implements encoding.Compressor. Answers are a few bytes.
func (zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(64<<10), zstd.WithEncoderLevel(zstd.SpeedFastest))
}
