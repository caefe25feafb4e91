package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

const (
	heartbeatBytes = 64 << 10
	readTimeout    = 5 * time.Minute // of a block: 4 MiB at 128 kb/s
	queueTimeout   = 10 * time.Second
	retryAfter     = 5 * time.Second
)

// A refusal is an error with the HTTP status and the reason that counters give.
type refusal struct {
	status int
	reason string
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// after is how long its sender is asked to wait; 0 where waiting will not help.
func (r *refusal) after() time.Duration {
	if r.status != http.StatusServiceUnavailable && r.status != http.StatusTooManyRequests {
		return 0
	}
	var p *Pressure
	if errors.As(r.err, &p) {
		return min(p.After, agentWait)
	}
	return retryAfter
}

func refuse(status int, reason, format string, args ...any) error {
	return &refusal{status, reason, fmt.Errorf(format, args...)}
}

// Handler answers the paths of package wire.
func (i *Ingest) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+wire.BlocksPath, i.door(i.serveBlock))
	mux.Handle("POST "+wire.HeartbeatPath, i.door(i.serveHeartbeat))
	mux.Handle("POST "+wire.StreamPath, i.door(i.serveStream))
	return mux
}

// door lets only nodes in, notes that they were heard, and answers errors.
func (i *Ingest) door(serve func(w http.ResponseWriter, r *http.Request, src buffer.Source) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		src, err := i.o.Identify.Identify(r)
		if err != nil {
			i.metrics.unauthorized.Inc()
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, wire.Refusal{Error: err.Error()})
			return
		}
		if err := i.o.Nodes.Heard(src); err != nil {
			i.log.Error("node cannot be noted", "source", src.String(), "error", err)
		}
		if err := serve(w, r, src); err != nil {
			i.answerError(w, src, err)
		}
	})
}

func (i *Ingest) answerError(w http.ResponseWriter, src buffer.Source, err error) {
	r := i.refused(src, err)
	if after := r.after(); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	answer(w, r.status, wire.Refusal{Error: r.Error()})
}

// refused counts and notes an error of src and returns it as a refusal.
func (i *Ingest) refused(src buffer.Source, err error) *refusal {
	var r *refusal
	if !errors.As(err, &r) {
		i.log.Error("block was not taken", "source", src.String(), "error", err)
		r = &refusal{http.StatusServiceUnavailable, "unavailable", errors.New("the block could not be stored; send it again")}
	}
	i.metrics.refused.WithLabelValues(src.Region, src.Venue, src.Node, r.reason).Inc()
	switch r.status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusHTTPVersionNotSupported: // not the node's doing
	case http.StatusConflict:
		i.tell(src, r)
		i.note(src, i.o.Nodes.Conflict(src))
	default:
		i.tell(src, r)
		i.note(src, i.o.Nodes.Malformed(src))
	}
	return r
}

// tell logs the first refusal of each reason to a node; counters have the rest.
func (i *Ingest) tell(src buffer.Source, r *refusal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := told{src, r.reason}
	if !i.told[key] {
		i.told[key] = true
		i.log.Warn("node is refused; later refusals for this reason are only counted", "source", src.String(), "reason", r.reason, "error", r.err)
	}
}

func (i *Ingest) note(src buffer.Source, err error) {
	if err != nil {
		i.log.Error("node cannot be noted", "source", src.String(), "error", err)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client has gone: nobody is left to tell
}

func (i *Ingest) serveHeartbeat(w http.ResponseWriter, r *http.Request, src buffer.Source) error {
	var hb wire.Heartbeat
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, heartbeatBytes)).Decode(&hb); err != nil {
		return refuse(http.StatusBadRequest, "heartbeat", "heartbeat cannot be read: %w", err)
	}
	received, err := i.o.Nodes.Heartbeat(src, hb)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, wire.HeartbeatReply{ReceivedMS: received.UnixMilli(), Calendar: i.showsFor(src, hb)})
	return nil
}

func (i *Ingest) serveBlock(w http.ResponseWriter, r *http.Request, src buffer.Source) error {
	size := i.o.BlockBytes
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	if r.ContentLength > i.o.BlockBytes {
		return refuse(http.StatusRequestEntityTooLarge, "too_large", "block has %d bytes, at most %d are taken", r.ContentLength, i.o.BlockBytes)
	}
	if err := i.journal.room(int(size)); err != nil {
		return refuse(http.StatusServiceUnavailable, "journal_full", "%w", err)
	}
	wait, cancel := context.WithTimeout(r.Context(), queueTimeout)
	defer cancel()
	if err := i.bodies.Acquire(wait, size); err != nil {
		return refuse(http.StatusServiceUnavailable, "busy", "too many blocks are being taken; try again")
	}
	defer i.bodies.Release(size)
	header, payload, err := i.read(w, r, src)
	if err != nil {
		return err
	}
	i.note(src, i.o.Nodes.Heard(src)) // a block may take minutes on a thin line
	p, err := i.decodeBlock(r.Context(), src, header, payload)
	if err != nil {
		return err
	}
	defer i.batches.Release(p.size)
	return i.take(w, r.Context(), p)
}

// read reads one block and checks it.
func (i *Ingest) read(w http.ResponseWriter, r *http.Request, src buffer.Source) (buffer.Header, []byte, error) {
	none := buffer.Header{}
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return none, nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, i.o.BlockBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return none, nil, refuse(http.StatusRequestEntityTooLarge, "too_large", "block has more than %d bytes", i.o.BlockBytes)
	case err != nil:
		// The connection broke; whether anybody reads the answer is unknown. It
		// must not be one that condemns the block.
		return none, nil, refuse(http.StatusServiceUnavailable, "cut_short", "block was cut short: %w", err)
	}
	header, payload, err := buffer.Open(body)
	switch {
	case errors.Is(err, buffer.ErrVersion):
		return none, nil, refuse(http.StatusUnsupportedMediaType, "version", "%w", err)
	case err != nil:
		return none, nil, refuse(http.StatusBadRequest, "corrupt", "%w", err)
	case header.Kind != buffer.SelfContained:
		return none, nil, refuse(http.StatusUnprocessableEntity, "payload", "block %d of lane %s can be read only where it lay", header.Seq, header.Lane)
	}
	if err := i.limits.spend(src, header.Lane, len(body), int(header.Samples)); err != nil {
		return none, nil, refuse(http.StatusTooManyRequests, "node_limit", "%w", err)
	}
	return header, payload, nil
}

// decodeBlock decodes a sealed block: one that cannot be applied later is refused now.
func (i *Ingest) decodeBlock(ctx context.Context, src buffer.Source, header buffer.Header, payload []byte) (post, error) {
	if err := i.decode.Acquire(ctx, 1); err != nil {
		return post{}, refuse(http.StatusServiceUnavailable, "busy", "too many blocks are being taken; try again")
	}
	defer i.decode.Release(1)
	batch, err := i.unpack(payload)
	if err != nil {
		return post{}, refuse(http.StatusUnprocessableEntity, "payload", "block %d of lane %s cannot be decoded: %w", header.Seq, header.Lane, err)
	}
	if batch.Samples() != int(header.Samples) || len(batch.Records) != int(header.Records) {
		return post{}, refuse(http.StatusUnprocessableEntity, "counts", "block %d of lane %s holds %d samples and %d records where its header says %d and %d",
			header.Seq, header.Lane, batch.Samples(), len(batch.Records), header.Samples, header.Records)
	}
	return i.admit(ctx, src, header, delta.NamesHash(batch.Series), batch)
}

// take has a block committed and answers with what came of it.
func (i *Ingest) take(w http.ResponseWriter, ctx context.Context, p post) error {
	answered := make(chan outcome, 1)
	p.outcome = answered
	if err := i.enqueue(ctx, p); err != nil {
		return err
	}
	o, err := i.await(answered)
	if err != nil {
		return err
	}
	if err := i.settled(o); err != nil {
		return err
	}
	answer(w, http.StatusOK, wire.Ack{
		Session: p.header.Session, Lane: p.header.Lane, Ranges: []wire.Range{o.held}, Duplicate: o.duplicate,
	})
	return nil
}
