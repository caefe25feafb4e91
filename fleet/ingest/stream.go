package ingest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

const (
	streamFrame    = 1 << 20         // longest frame taken, where blocks may be as long
	streamBlocks   = 32              // of one stream that may wait for their commit
	streamBroken   = 16              // frames that cannot be read before the stream ends
	streamSilences = 4               // times the silence that makes a node dark end its stream
	compactAfter   = time.Second     // of silence the decoder is made smaller
	forgetAfter    = 5 * time.Minute // without a block it is given up: the next frame must be a key frame
	writeTimeout   = 30 * time.Second
)

// Tune makes a server take streams: by HTTP/2 also where it is not encrypted, with
// buffers that suit many connections that mostly idle.
func Tune(srv *http.Server) {
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.HTTP2 = &http.HTTP2Config{
		MaxReadFrameSize:              16 << 10,
		MaxReceiveBufferPerConnection: 2 * streamWindow,
		MaxReceiveBufferPerStream:     streamWindow,
		MaxConcurrentStreams:          64,
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: probeAfter}) // not worth failing for
		}
		return context.WithValue(ctx, connKey{}, c)
	}
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// probeAfter is how long a connection idles before TCP asks whether it lives. Nodes
// say something more often by themselves: probes beside it are waste.
const probeAfter = 2 * time.Minute

// streamWindow is what a node may have under way that nobody has read yet: at most
// so much waits in the centre's memory while that is slow.
const streamWindow = 256 << 10

// A stream is one node's connection: it reads the node's messages in order, while
// blocks that it read wait for their commit. A second goroutine, which writes
// acknowledgements, lives only while some wait.
type stream struct {
	i      *Ingest
	source buffer.Source
	body   io.Reader
	w      http.ResponseWriter
	rc     *http.ResponseController
	conn   net.Conn        // the TCP connection below; nil if it is not known
	ctx    context.Context // of the request; ends when the fleet stops

	decoding sync.Mutex     // guards decoder, which idling makes smaller
	decoder  *delta.Decoder // nil until a block comes
	latest   time.Time      // when one came
	whole    bool           // the decoder has the state of the frames before
	told     bool           // the node was told to begin anew, and has not yet
	broken   int            // frames that could not be read

	writing sync.Mutex // held while a message is written
	ending  sync.Mutex
	over    bool // guarded by ending; the handler has returned

	slots    chan struct{} // one for each block that waits
	outcomes chan outcome  // as many
	rests    chan struct{} // receives when the reader begins to wait for the node
	mu       sync.Mutex
	waiting  int            // guarded by mu; blocks whose outcome is not answered yet
	aside    []byte         // guarded by mu; said with their answers
	shows    showing        // guarded by mu
	reading  bool           // guarded by mu; the reader waits for the node
	small    bool           // guarded by mu; the decoder was made smaller since the node was last heard
	acks     sync.WaitGroup // the goroutines that answer blocks and tell of shows
	idle     *time.Timer
	heard    time.Time // when the registry was last told; only the reader uses it
}

// serveStream reads a node's stream until either side ends it. Its answer has
// begun before the first message is read, so what is wrong later is told in it.
func (i *Ingest) serveStream(w http.ResponseWriter, r *http.Request, src buffer.Source) error {
	if r.ProtoMajor < 2 {
		return refuse(http.StatusHTTPVersionNotSupported, "http1", "a stream needs HTTP/2: post blocks to %s instead", wire.BlocksPath)
	}
	s := &stream{
		i: i, source: src, body: r.Body, w: w, rc: http.NewResponseController(w), ctx: r.Context(),
		slots: make(chan struct{}, streamBlocks), outcomes: make(chan outcome, streamBlocks),
		rests: make(chan struct{}, 1), heard: i.o.Now(),
	}
	s.conn, _ = s.ctx.Value(connKey{}).(net.Conn)
	if err := errors.Join(s.rc.SetReadDeadline(time.Time{}), s.rc.SetWriteDeadline(time.Time{})); err != nil {
		return err
	}
	s.idle = time.AfterFunc(s.rest(), s.idled)
	defer s.leave()
	defer s.idle.Stop()
	defer context.AfterFunc(s.ctx, s.end)()
	defer i.streams.enter(s)()
	w.Header().Set("Content-Type", wire.StreamType)
	w.WriteHeader(http.StatusOK)
	if err := s.rc.Flush(); err != nil {
		return nil //nolint:nilerr // the node has gone
	}
	err := s.read()
	s.close()
	s.acks.Wait()
	s.ended(err)
	return nil
}

// ended counts how a stream ended that the node is to blame for.
func (s *stream) ended(err error) {
	var r *refusal
	if errors.As(err, &r) {
		s.i.refused(s.source, r)
	}
}

// end makes reading fail, so that the stream ends once its blocks are answered.
func (s *stream) end() {
	s.ending.Lock()
	defer s.ending.Unlock()
	if s.over {
		return
	}
	_ = s.rc.SetReadDeadline(time.Now().Add(-time.Second)) // an error means that it has ended already
}

// rest is how long nothing must come for the decoder to be made smaller.
func (s *stream) rest() time.Duration { return min(compactAfter, s.i.o.Silence) }

// leave makes end do nothing from now on: the answer belongs to nobody any more.
func (s *stream) leave() {
	s.ending.Lock()
	defer s.ending.Unlock()
	s.over = true
}

// idled runs when nothing came for a while: first the decoder is made smaller and
// TCP patient, which a sign without an answer ended; after a long silence the stream
// ends, for its node is dark or has another one.
func (s *stream) idled() {
	s.mu.Lock()
	reading, small := s.reading, s.small
	s.small = reading
	s.mu.Unlock()
	switch {
	case !reading: // it is the centre that is slow
		s.idle.Reset(s.rest())
		return
	case small:
		s.end()
		return
	}
	wire.Patient(s.conn)
	if s.decoding.TryLock() {
		if s.decoder != nil {
			s.decoder.Compact()
		}
		s.decoding.Unlock()
	}
	s.idle.Reset(streamSilences*s.i.o.Silence - s.rest())
}

// Read reads from the node; whatever comes is a sign of life. A message may take
// minutes on a thin line.
func (s *stream) Read(p []byte) (int, error) {
	s.waits(true)
	n, err := s.body.Read(p)
	s.waits(false)
	if n == 0 {
		return n, err
	}
	s.idle.Reset(s.rest())
	if now := s.i.o.Now(); now.Sub(s.heard) >= s.i.o.Silence/8 || now.Before(s.heard) {
		s.heard = now
		s.i.note(s.source, s.i.o.Nodes.Heard(s.source))
	}
	return n, err
}

// waits notes whether the reader waits for the node.
func (s *stream) waits(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = yes
	s.small = s.small && yes
	if !yes || s.waiting == 0 {
		return
	}
	select {
	case s.rests <- struct{}{}:
	default: // it is known already
	}
}

// read takes messages until the stream ends. A refusal says that the node is to
// blame for its end.
func (s *stream) read() error {
	messages := wire.NewReader(s, min(streamFrame, s.i.o.BlockBytes))
	kind, body, err := messages.Next()
	if err == nil && kind != wire.Hello {
		err = fmt.Errorf("%w: a stream begins with hello, not with message %d", wire.ErrMessage, kind)
	}
	if err == nil {
		err = s.hello(body)
	}
	for err == nil {
		if kind, body, err = messages.Next(); err == nil {
			err = s.message(kind, body)
		}
	}
	if errors.Is(err, wire.ErrMessage) {
		return refuse(http.StatusBadRequest, "message", "stream: %w", err)
	}
	return err
}

func (s *stream) message(kind wire.MessageType, body []byte) error {
	switch kind {
	case wire.Block:
		return s.block(body)
	case wire.Beat:
		sent, err := wire.ParseBeat(body)
		if err != nil {
			return err
		}
		s.forget()
		received, err := s.i.o.Nodes.Beat(s.source, sent)
		if err != nil {
			return err
		}
		return s.say(wire.AppendBeaten(nil, wire.Clocks{SentMS: sent, ReceivedMS: received.UnixMilli()}))
	case wire.Sign: // that it was read is noted already
		s.forget()
	case wire.Report, wire.Hello:
		_, _, err := s.heartbeat(body)
		return err
	}
	return nil // of a newer version
}

// forget gives the decoder up if no block came for long.
func (s *stream) forget() {
	if s.i.o.Now().Sub(s.latest) < forgetAfter {
		return
	}
	s.decoding.Lock()
	defer s.decoding.Unlock()
	s.decoder, s.whole, s.told = nil, false, false
}

// hello notes what the node says of itself and greets it. After the greeting it is
// told of shows.
func (s *stream) hello(body []byte) error {
	hb, received, err := s.heartbeat(body)
	if err != nil {
		return err
	}
	welcome, err := wire.AppendJSON(nil, wire.Welcome, wire.Greeting{
		ReceivedMS: received.UnixMilli(), SilenceMS: s.i.o.Silence.Milliseconds(), FrameBytes: min(streamFrame, s.i.o.BlockBytes),
	})
	if err != nil {
		return err
	}
	if err := s.write(welcome); err != nil {
		return err
	}
	s.wantShows(hb.Calendar)
	return nil
}

func (s *stream) heartbeat(body []byte) (hb wire.Heartbeat, received time.Time, err error) {
	if len(body) > heartbeatBytes {
		return hb, time.Time{}, fmt.Errorf("%w: heartbeat of %d bytes, at most %d are taken", wire.ErrMessage, len(body), heartbeatBytes)
	}
	if err := json.Unmarshal(body, &hb); err != nil {
		return hb, time.Time{}, fmt.Errorf("%w: heartbeat: %w", wire.ErrMessage, err)
	}
	received, err = s.i.o.Nodes.Heartbeat(s.source, hb)
	return hb, received, err
}
