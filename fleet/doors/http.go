package doors

import (
	"context"
	"net/http"
	"strings"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/ingest"
)

// door lets only nodes in, notes that they were heard, bounds the time, and answers
// faults.
func (d *Doors) door(name string, serve func(http.ResponseWriter, *http.Request, buffer.Source) error, answer func(http.ResponseWriter, *http.Request, *fault)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), d.o.Limits.Timeout)
		defer cancel()
		src, err := d.o.Identify.Identify(r)
		if err == nil {
			d.heard(src)
			err = d.o.Journal.Admit(src)
		}
		if err == nil {
			err = serve(w, r.WithContext(ctx), src)
		}
		if err == nil {
			return
		}
		f := faultOf(err)
		d.note(src, name, f)
		switch f.kind {
		case unauthorized:
			w.Header().Set("WWW-Authenticate", "Bearer")
		case overLimit, unavailable:
			w.Header().Set("Retry-After", f.retryAfter())
		}
		answer(w, r, f)
	})
}

func (d *Doors) heard(src buffer.Source) {
	if err := d.o.Heard(src); err != nil {
		d.log.Error("node cannot be noted", "source", src.String(), "error", err)
	}
}

// plainFault answers in words.
func plainFault(w http.ResponseWriter, _ *http.Request, f *fault) {
	http.Error(w, f.Error(), f.kind.status())
}

// encodingOf is the Content-Encoding of r, in lower case; empty for none.
func encodingOf(r *http.Request) string {
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	if encoding == "identity" {
		return ""
	}
	return encoding
}

// take has a batch journalled: in blocks of at most PerBlock series.
func (d *Doors) take(ctx context.Context, src buffer.Source, door string, lane buffer.Lane, wire int, batch delta.Batch) error {
	if len(batch.Series) == 0 && len(batch.Records) == 0 {
		return nil
	}
	var parts []ingest.Part
	for rest := batch.Series; len(rest) > 0; {
		n := min(len(rest), d.o.Limits.PerBlock)
		parts = append(parts, ingest.Part{Lane: lane, Batch: delta.Batch{Series: rest[:n]}})
		rest = rest[n:]
	}
	if len(batch.Records) > 0 {
		parts = append(parts, ingest.Part{Lane: lane, Batch: delta.Batch{Records: batch.Records}})
	}
	return d.o.Journal.Take(ctx, src, door, wire, parts)
}
