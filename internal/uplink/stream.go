package uplink

import (
	"context"
	"errors"
	"net/http"
)

// versions passes a request on in the version of HTTP that it came in.
type versions struct{ one, two *http.Transport }

func newVersions() versions {
	one := http.DefaultTransport.(*http.Transport).Clone()
	one.Proxy = nil
	one.DisableCompression = true
	two := one.Clone()
	one.Protocols, two.Protocols = new(http.Protocols), new(http.Protocols)
	one.Protocols.SetHTTP1(true)
	two.Protocols.SetUnencryptedHTTP2(true)
	two.HTTP2 = smallWindows()
	two.HTTP2.MaxReceiveBufferPerConnection = 0 // all clients of a route share one
	return versions{one, two}
}

func (v versions) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.ProtoMajor == 2 {
		return v.two.RoundTrip(r)
	}
	return v.one.RoundTrip(r)
}

func (v versions) close() {
	v.one.CloseIdleConnections()
	v.two.CloseIdleConnections()
}

// both are the versions a client may speak.
func both() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// smallWindows keeps what waits between the line and the backend small.
func smallWindows() *http.HTTP2Config {
	return &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 256 << 10}
}

// isStream tells a stream from a request: its length is not known ahead. Of
// HTTP/1.1 that is no stream, since answers wait for the end of the body there.
func isStream(r *http.Request) bool { return r.ProtoMajor == 2 && r.ContentLength < 0 }

// stream passes a stream on.
func (p *proxy) stream(w http.ResponseWriter, r *http.Request) {
	p.counts.streams.Add(1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	p.reverse.ServeHTTP(&answer{ResponseWriter: w, proxy: p, breakOff: cancel}, r.WithContext(ctx))
}

// answer is what the backend says on a stream. While duplicate or reorder is set,
// every Every-th part of the answers that comes is lost, and its stream with it:
// what the client sent has been forwarded, but it does not know. The first part of
// each stream passes, and never two in a row are lost, so that streams get on.
type answer struct {
	http.ResponseWriter
	proxy    *proxy
	breakOff context.CancelFunc // without it the way to the backend would wait for the client's body
	begun    bool
}

var errAnswerLost = errors.New("the answer was lost on its way")

func (a *answer) Write(b []byte) (int, error) {
	if a.begun && a.proxy.faults.losesAnswer() {
		a.proxy.counts.lostAnswers.Add(1)
		a.breakOff()
		return 0, errAnswerLost
	}
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Unwrap lets what was written be flushed.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
