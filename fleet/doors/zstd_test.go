package doors_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ghostlight/buffer"
	"ghostlight/fleet/doors"
)

// pack compresses by zstd; a stream does not say how large it is, and asks for the
// largest window that senders use.
func pack(t *testing.T, b []byte, stream bool) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	if !stream {
		return z.EncodeAll(b, nil)
	}
	for half := range slices.Chunk(b, len(b)/2+1) {
		if _, err := z.Write(half); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What zstd asks for is refused before memory is taken for it.
func TestZstdIsBounded(t *testing.T) {
	const most = 1 << 20 // of a rig's requests
	cut := pack(t, write(t, 1, false), false)
	cut = cut[:len(cut)-3]
	empty := func(exponent byte) []byte { return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 1, 0, 0} } // a frame with one empty block
	for _, tt := range []struct {
		name   string
		body   []byte
		status int
		says   string
	}{
		{"not zstd", []byte("no"), http.StatusBadRequest, "not zstd"},
		{"cut short", cut, http.StatusBadRequest, "not zstd"},
		{"bomb", pack(t, make([]byte, most+1), false), http.StatusRequestEntityTooLarge, "has 1048577 bytes decompressed, at most 1048576 are taken"},
		{"bomb of unknown size", pack(t, make([]byte, most+1), true), http.StatusRequestEntityTooLarge, "more than 1048576 bytes decompressed"},
		{"bomb in a second frame", append(pack(t, nil, true), pack(t, make([]byte, 2*most), true)...), http.StatusRequestEntityTooLarge, "more than 1048576 bytes decompressed"},
		{"usual window", empty(13), http.StatusNoContent, ""},
		{"large window", empty(14), http.StatusRequestEntityTooLarge, "needs a zstd window of 16777216 bytes, at most 8388608 are taken"},
		{"large window in a second frame", append(empty(0), empty(14)...), http.StatusBadRequest, "window size"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			res, text := r.post(t, doors.WritePath, tt.body, "Content-Type", v1, "Content-Encoding", "zstd")
			if res.StatusCode != tt.status || !strings.Contains(text, tt.says) {
				t.Errorf("%s: %s", res.Status, text)
			}
			if len(r.parts) != 0 {
				t.Errorf("taken all the same: %+v", r.parts)
			}
		})
	}
}

// Requests that ask for the largest windows at once are all taken: none waits for
// what others hold.
func TestManyWindowsAtOnce(t *testing.T) {
	r := newRig(t, func(o *doors.Options) { o.Heard = func(buffer.Source) error { return nil } })
	msg := pack(t, write(t, 3, false), true)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if res, text := r.post(t, doors.WritePath, msg, "Content-Type", v1, "Content-Encoding", "zstd"); res.StatusCode != http.StatusNoContent {
				t.Errorf("%s: %s", res.Status, text)
			}
		})
	}
	all.Wait()
}
