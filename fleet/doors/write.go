package doors

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"ghostlight/buffer"
	"ghostlight/fleet/doors/remotewrite"
)

// Headers of remote write 2.0, which say what of a request was written.
const (
	samplesWritten    = "X-Prometheus-Remote-Write-Samples-Written"
	histogramsWritten = "X-Prometheus-Remote-Write-Histograms-Written"
	exemplarsWritten  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// serveWrite takes one remote write request.
// Source: Prometheus Remote-Write 1.0 and 2.0 specifications.
func (d *Doors) serveWrite(w http.ResponseWriter, r *http.Request, src buffer.Source) error {
	version, err := versionOf(r)
	if err != nil {
		return err
	}
	encoding := encodingOf(r)
	switch encoding {
	case "": // 1.0 was sent without the header by early senders; it is snappy all the same
		encoding = "snappy"
	case "snappy", "zstd": // the latter is what vmagent prefers
	default:
		return faultf(unsupported, "content encoding %q is not taken, only snappy and zstd are", encoding)
	}
	b, err := d.read(w, r, src, encoding)
	if err != nil {
		return err
	}
	defer b.release()
	l := d.o.Limits
	res, err := remotewrite.Decode(version, b.msg, remotewrite.Options{
		Oldest: d.oldest(d.o.Now()), Series: l.Series, Samples: l.Samples, LabelBytes: l.LabelBytes, Memory: l.Memory,
	})
	if err != nil {
		return err
	}
	if err := d.take(r.Context(), src, RemoteWrite, buffer.Detail, b.wire, res.Batch); err != nil {
		if version == remotewrite.V2 {
			setWritten(w, remotewrite.Result{})
		}
		return err
	}
	d.countWrite(src, res)
	if version == remotewrite.V2 {
		setWritten(w, res)
	}
	if n := res.RefusedTotal(); n > 0 {
		http.Error(w, fmt.Sprintf("%d of the request can never be stored, the rest is; the first: %s", n, res.Problem), http.StatusBadRequest)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// versionOf reads the message that is sent from the Content-Type.
func versionOf(r *http.Request) (remotewrite.Version, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-protobuf" {
		return 0, faultf(unsupported, "content type %q is not taken, only application/x-protobuf is", r.Header.Get("Content-Type"))
	}
	switch params["proto"] {
	case "", "prometheus.WriteRequest":
		return remotewrite.V1, nil
	case "io.prometheus.write.v2.Request":
		return remotewrite.V2, nil
	}
	return 0, faultf(unsupported, "message %q is not taken, only prometheus.WriteRequest and io.prometheus.write.v2.Request are", params["proto"])
}

func setWritten(w http.ResponseWriter, res remotewrite.Result) {
	w.Header().Set(samplesWritten, strconv.Itoa(res.Samples))
	w.Header().Set(histogramsWritten, strconv.Itoa(res.Histograms))
	w.Header().Set(exemplarsWritten, "0")
}

func (d *Doors) countWrite(src buffer.Source, res remotewrite.Result) {
	result := "accepted"
	if res.RefusedTotal() > 0 {
		result = "partial"
	}
	d.metrics.request(src, RemoteWrite, result)
	d.metrics.count(RemoteWrite, "sample", taken, res.Samples)
	d.metrics.count(RemoteWrite, "histogram", taken, res.Histograms)
	d.metrics.count(RemoteWrite, "exemplar", leftOut, res.Exemplars)
	for reason, n := range res.Refused {
		d.metrics.count(RemoteWrite, reason, refused, n)
	}
}
