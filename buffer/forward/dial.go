package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"ghostlight/buffer/wire"
)

// A Conn carries the messages of one stream. Reading and writing go on side by
// side; Close ends both at once and may be called while they do.
type Conn interface {
	io.ReadWriteCloser
	// CloseWrite says that nothing follows; what the fleet still says can be read.
	CloseWrite() error
}

// A Dialer begins a stream. Nothing need be known of the fleet when it returns:
// what is wrong may come from the first Read or Write instead.
type Dialer func(ctx context.Context) (Conn, error)

var (
	// ErrNoStream means that streams cannot be had on this way though something
	// answers: POST may work.
	ErrNoStream = errors.New("the way to the fleet carries no stream")
	// ErrUnreachable means that nothing answered at all: POST is not worth a try.
	ErrUnreachable = errors.New("no connection")
)

// A busyError means that the fleet is there but wants to be left alone.
type busyError struct {
	err   error
	after time.Duration
}

func (b *busyError) Error() string { return b.err.Error() }
func (b *busyError) Unwrap() error { return b.err }

// http2Dialer begins streams over HTTP/2: in clear with prior knowledge where the
// address is http, by TLS where it is https.
type http2Dialer struct {
	url, token string
	timeout    time.Duration // to connect
	tls        *tls.Config   // remembers sessions: a reconnect skips half of the handshake
}

func newHTTP2Dialer(base, token string, timeout time.Duration) *http2Dialer {
	return &http2Dialer{
		url: base + wire.StreamPath, token: token, timeout: timeout,
		tls: &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1)},
	}
}

func (d *http2Dialer) dial(ctx context.Context) (Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	body, writer := io.Pipe()
	s := &http2Stream{cancel: cancel, reader: body, writer: writer, answered: make(chan struct{})}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, body)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", wire.StreamType)
	s.transport = d.transport(s)
	go s.ask(req)
	return s, nil
}

// transport makes connections for s alone.
func (d *http2Dialer) transport(s *http2Stream) *http.Transport {
	dial := slowUplinkDialer(d.timeout)
	p := new(http.Protocols)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		Protocols:           p,
		TLSClientConfig:     d.tls,
		TLSHandshakeTimeout: d.timeout,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			return conn, s.connected(conn)
		},
	}
}

// http2Stream is one request whose body and answer stay open, on a connection of
// its own: when it ends, nothing half-open is left behind.
type http2Stream struct {
	transport *http.Transport
	cancel    context.CancelFunc
	reader    *io.PipeReader // of the transport
	writer    *io.PipeWriter

	answered chan struct{} // closed once answer or err is set
	answer   *http.Response
	err      error

	mu     sync.Mutex // guards what follows
	tcp    net.Conn   // nil: none was made
	closed bool
}

// connected notes the connection, so that Close can end it whatever it waits for.
func (s *http2Stream) connected(conn net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return net.ErrClosed
	}
	s.tcp = conn
	return nil
}

// ask sends the request and waits for the head of the answer.
func (s *http2Stream) ask(req *http.Request) {
	defer close(s.answered)
	resp, err := s.transport.RoundTrip(req)
	switch {
	case err != nil:
		s.err = err
	case resp.StatusCode != http.StatusOK || resp.ProtoMajor < 2:
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what there is of it
		a := answer{status: resp.StatusCode, body: text, retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
		s.err = a.refusesStream(resp.ProtoMajor)
	default:
		s.answer = resp
		return
	}
	s.reader.CloseWithError(s.err)
}

// refusesStream says what an answer means that is not that of a stream.
func (a answer) refusesStream(version int) error {
	switch {
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		return &busyError{a.error(), a.retryAfter}
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return a.error()
	case version < 2:
		return fmt.Errorf("%w: it speaks HTTP/%d", ErrNoStream, version)
	case a.status >= 400 && a.status < 500, a.status == http.StatusNotImplemented, a.status == http.StatusHTTPVersionNotSupported:
		return fmt.Errorf("%w: %w", ErrNoStream, a.error())
	}
	return a.error()
}

func (s *http2Stream) Read(p []byte) (int, error) {
	<-s.answered
	if s.err != nil {
		return 0, s.err
	}
	return s.answer.Body.Read(p)
}

func (s *http2Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	tcp := s.tcp
	s.mu.Unlock()
	wire.Patient(tcp) // what the fleet says to this is acknowledged once
	n, err := s.writer.Write(p)
	if err != nil {
		<-s.answered // the request has ended, or it would still be reading
		if s.err != nil {
			err = s.err
		}
	}
	return n, err
}

func (s *http2Stream) CloseWrite() error { return s.writer.Close() }

func (s *http2Stream) Close() error {
	s.cancel()
	s.writer.CloseWithError(net.ErrClosed)
	s.mu.Lock()
	s.closed = true
	tcp := s.tcp
	s.mu.Unlock()
	if tcp != nil {
		tcp.Close()
	}
	<-s.answered
	if s.answer != nil {
		s.answer.Body.Close()
	}
	s.transport.CloseIdleConnections()
	return nil
}
