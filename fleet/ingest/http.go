package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/internal/sqlite"
)

const (
	heartbeatBytes = 64 << 10
	readTimeout    = 5 * time.Minute // of a block: 4 MiB at 128 kb/s
	queueTimeout   = 10 * time.Second
	retryAfter     = "5" // seconds
)

// A refusal is an error with the HTTP status and the reason that counters give.
type refusal struct {
	status int
	reason string
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// retryAfter is what the header of that name says, in seconds.
func (r *refusal) retryAfter() string {
	var p *Pressure
	if errors.As(r.err, &p) {
		return strconv.Itoa(int(math.Ceil(min(p.After, agentWait).Seconds())))
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
	var r *refusal
	if !errors.As(err, &r) {
		i.log.Error("block was not taken", "source", src.String(), "error", err)
		r = &refusal{http.StatusServiceUnavailable, "unavailable", errors.New("the block could not be stored; send it again")}
	}
	i.metrics.refused.WithLabelValues(src.Region, src.Venue, src.Node, r.reason).Inc()
	switch r.status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", r.retryAfter())
	case http.StatusConflict:
		i.tell(src, r)
		i.note(src, i.o.Nodes.Conflict(src))
	default:
		i.tell(src, r)
		i.note(src, i.o.Nodes.Malformed(src))
	}
	answer(w, r.status, wire.Refusal{Error: r.Error()})
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
	answer(w, http.StatusOK, wire.HeartbeatReply{ReceivedMS: received.UnixMilli()})
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
	p, err := i.read(w, r, src)
	if err != nil {
		return err
	}
	i.note(src, i.o.Nodes.Heard(src)) // a block may take minutes on a thin line
	return i.take(w, r.Context(), p)
}

// read reads and checks one block.
func (i *Ingest) read(w http.ResponseWriter, r *http.Request, src buffer.Source) (post, error) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return post{}, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, i.o.BlockBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return post{}, refuse(http.StatusRequestEntityTooLarge, "too_large", "block has more than %d bytes", i.o.BlockBytes)
	case err != nil:
		// The connection broke; whether anybody reads the answer is unknown. It
		// must not be one that condemns the block.
		return post{}, refuse(http.StatusServiceUnavailable, "cut_short", "block was cut short: %w", err)
	}
	header, payload, err := buffer.Open(body)
	switch {
	case errors.Is(err, buffer.ErrVersion):
		return post{}, refuse(http.StatusUnsupportedMediaType, "version", "%w", err)
	case err != nil:
		return post{}, refuse(http.StatusBadRequest, "corrupt", "%w", err)
	case header.Seq > maxSeq:
		return post{}, refuse(http.StatusBadRequest, "sequence", "sequence %d is out of range", header.Seq)
	}
	if err := i.limits.spend(src, header.Lane, len(body), int(header.Samples)); err != nil {
		return post{}, refuse(http.StatusTooManyRequests, "node_limit", "%w", err)
	}
	if err := i.check(r.Context(), src, header, payload); err != nil {
		return post{}, err
	}
	return post{source: src, header: header, body: body, digest: sha256.Sum256(body)}, nil
}

// check decodes the payload: a block that cannot be applied later is refused now.
func (i *Ingest) check(ctx context.Context, src buffer.Source, header buffer.Header, payload []byte) error {
	if err := i.decode.Acquire(ctx, 1); err != nil {
		return refuse(http.StatusServiceUnavailable, "busy", "too many blocks are being taken; try again")
	}
	defer i.decode.Release(1)
	batch, err := i.codec.Decode(payload)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, "payload", "block %d of lane %s cannot be decoded: %w", header.Seq, header.Lane, err)
	}
	if batch.Samples() != int(header.Samples) || len(batch.Records) != int(header.Records) {
		return refuse(http.StatusUnprocessableEntity, "counts", "block %d of lane %s holds %d samples and %d records where its header says %d and %d",
			header.Seq, header.Lane, batch.Samples(), len(batch.Records), header.Samples, header.Records)
	}
	if err := i.limits.note(src, header.Lane, batch.Series); err != nil {
		return refuse(http.StatusTooManyRequests, "node_limit", "%w", err)
	}
	return nil
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
	return i.acknowledge(w, p, o)
}

// enqueue queues a block for its commit.
func (i *Ingest) enqueue(ctx context.Context, p post) error {
	wait := time.NewTimer(queueTimeout)
	defer wait.Stop()
	select {
	case i.posts <- p:
	case <-i.ended:
		return refuse(http.StatusServiceUnavailable, "stopping", "the fleet is stopping; try again")
	case <-ctx.Done():
		return refuse(http.StatusServiceUnavailable, "cut_short", "the request was given up")
	case <-wait.C:
		return refuse(http.StatusServiceUnavailable, "busy", "too many blocks are being taken; try again")
	}
	return nil
}

// await waits for what became of a block that was queued.
func (i *Ingest) await(answered <-chan outcome) (outcome, error) {
	select {
	case o := <-answered:
		return o, nil
	case <-i.ended:
	}
	// A group that was committed before the end has been answered.
	select {
	case o := <-answered:
		return o, nil
	default:
		return outcome{}, refuse(http.StatusServiceUnavailable, "stopping", "the fleet is stopping; try again")
	}
}

func (i *Ingest) acknowledge(w http.ResponseWriter, p post, o outcome) error {
	switch {
	case errors.Is(o.err, errConflict):
		return refuse(http.StatusConflict, "conflict", "block %d of lane %s in session %d: %w", p.header.Seq, p.header.Lane, p.header.Session, errConflict)
	case sqlite.IsFull(o.err):
		return refuse(http.StatusServiceUnavailable, "disk_full", "the fleet's disk is full; try again")
	case o.err != nil:
		return o.err
	}
	result := "accepted"
	if o.duplicate {
		result = "duplicate"
	}
	i.metrics.blocks.WithLabelValues(p.header.Lane.String(), result).Inc()
	answer(w, http.StatusOK, wire.Ack{
		Session: p.header.Session, Lane: p.header.Lane, Ranges: []wire.Range{o.held}, Duplicate: o.duplicate,
	})
	return nil
}
