package doors

import (
	"context"
	"mime"
	"net/http"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"ghostlight/buffer"
	"ghostlight/fleet/doors/otlp"
)

func signals() map[string]otlp.Signal {
	return map[string]otlp.Signal{MetricsPath: otlp.Metrics, TracesPath: otlp.Traces, LogsPath: otlp.Logs}
}

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// serveOTLP takes one export request over HTTP.
// Source: OpenTelemetry Protocol Specification, OTLP/HTTP.
func (d *Doors) serveOTLP(sig otlp.Signal) func(http.ResponseWriter, *http.Request, buffer.Source) error {
	return func(w http.ResponseWriter, r *http.Request, src buffer.Source) error {
		encoding, ok := otlpEncoding(r)
		if !ok {
			return faultf(unsupported, "content type %q is not taken, only %s and %s are", r.Header.Get("Content-Type"), typeProtobuf, typeJSON)
		}
		packing := encodingOf(r)
		if packing != "" && packing != "gzip" && packing != "zstd" {
			return faultf(unsupported, "content encoding %q is not taken, only gzip and zstd are, or none", packing)
		}
		b, err := d.read(w, r, src, packing)
		if err != nil {
			return err
		}
		defer b.release()
		answer, err := d.export(r.Context(), src, sig, encoding, b.msg, b.wire)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", mediaType(encoding))
		w.Write(answer) //nolint:errcheck // the client has gone: nobody is left to tell
		return nil
	}
}

// export takes one request and returns the body of its answer.
func (d *Doors) export(ctx context.Context, src buffer.Source, sig otlp.Signal, encoding otlp.Encoding, msg []byte, wire int) ([]byte, error) {
	now := d.o.Now()
	res, err := otlp.Decode(sig, encoding, msg, otlp.Options{
		Now: now.UnixMilli(), Oldest: d.oldest(now), Samples: d.o.Limits.Samples, Memory: d.o.Limits.Memory,
	})
	if err != nil {
		return nil, err
	}
	if err := d.take(ctx, src, OTLP, sig.Lane(), wire, res.Batch); err != nil {
		return nil, err
	}
	result := "accepted"
	if res.RejectedTotal() > 0 {
		result = "partial"
	}
	d.metrics.request(src, OTLP, result)
	d.metrics.count(OTLP, items(sig), taken, res.Items)
	d.metrics.count(OTLP, items(sig), refused, res.RejectedTotal())
	d.metrics.count(OTLP, "exemplar", leftOut, res.Exemplars)
	return otlp.Response(sig, encoding, res)
}

func items(sig otlp.Signal) string { return [...]string{"point", "span", "log"}[sig] }

func otlpEncoding(r *http.Request) (otlp.Encoding, bool) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == typeProtobuf:
		return otlp.Protobuf, true
	case err == nil && media == typeJSON:
		return otlp.JSON, true
	}
	return otlp.Protobuf, false
}

func mediaType(e otlp.Encoding) string {
	if e == otlp.JSON {
		return typeJSON
	}
	return typeProtobuf
}

// otlpFault answers with a google.rpc.Status in the encoding of the request.
func otlpFault(w http.ResponseWriter, r *http.Request, f *fault) {
	encoding, _ := otlpEncoding(r)
	says := status.New(f.kind.code(), f.Error()).Proto()
	marshal := proto.Marshal
	if encoding == otlp.JSON {
		marshal = protojson.Marshal
	}
	text, err := marshal(says)
	if err != nil { // the sentence is not UTF-8: the status alone must do
		text = nil
	}
	w.Header().Set("Content-Type", mediaType(encoding))
	w.WriteHeader(f.kind.status())
	w.Write(text) //nolint:errcheck // the client has gone: nobody is left to tell
}
