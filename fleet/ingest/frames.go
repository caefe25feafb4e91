package ingest

import (
	"errors"
	"fmt"
	"net/http"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// block takes one frame. The error ends the stream; that a block is refused does
// not.
func (s *stream) block(frame []byte) error {
	select {
	case s.slots <- struct{}{}: // or wait, and read nothing meanwhile
	case <-s.i.ended:
		return errStopping
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	p, err := s.post(frame)
	if err == nil {
		p.outcome = s.outcomes
		s.expect()
		if err := s.i.enqueue(s.ctx, p); err != nil {
			s.outcomes <- outcome{of: p.header, size: p.size, err: err}
		}
		return nil
	}
	<-s.slots
	var r *refusal
	switch {
	case errors.Is(err, errPassedOver):
		return nil
	case errors.As(err, &r) && p.header.Seq > 0:
		return s.refuse(p.header, err)
	}
	return err
}

// errPassedOver means that nothing is to be said of a frame any more.
var errPassedOver = errors.New("frame was passed over")

// post makes a post of a frame. After an error only its header may be set: if it is,
// and the error is a refusal, it is that of a block that is not taken.
func (s *stream) post(frame []byte) (p post, err error) {
	if err := s.i.decode.Acquire(s.ctx, 1); err != nil {
		return post{}, err
	}
	defer s.i.decode.Release(1)
	header, names, batch, err := s.decode(frame)
	if err != nil {
		return post{header: header}, err
	}
	if err := s.i.limits.spend(s.source, header.Lane, len(frame), int(header.Samples)); err != nil {
		return post{header: header}, refuse(http.StatusTooManyRequests, "node_limit", "%w", err)
	}
	if p, err = s.i.admit(s.ctx, s.source, header, names, batch); err != nil {
		return post{header: header}, err
	}
	return p, nil
}

// decode reads a frame, and tells the node to begin anew if it cannot. The header
// is set, with a refusal, where the block will never be read. names is the hash of
// those of its series.
func (s *stream) decode(frame []byte) (h buffer.Header, names uint64, batch delta.Batch, err error) {
	s.decoding.Lock()
	at, batch, err := s.unpack(frame)
	if err == nil {
		names = s.decoder.NamesHash(batch)
	}
	s.decoding.Unlock()
	key := !s.whole // or else the decoder asks for a key frame
	s.whole = err == nil
	if err != nil {
		h, err := s.unread(at, key, err)
		return h, 0, delta.Batch{}, err
	}
	s.told = false
	h = buffer.Header{
		Kind: buffer.SelfContained, Lane: at.Lane, Session: at.Session, Seq: at.Seq, First: at.First,
		Samples: uint32(batch.Samples()), Records: uint32(len(batch.Records)),
	}
	h.MinTime, h.MaxTime = batch.TimeRange()
	return h, names, batch, nil
}

// unread says what becomes of a frame that could not be read, whose stamp may be
// known. key says that it was a key frame.
func (s *stream) unread(at delta.Stamp, key bool, why error) (buffer.Header, error) {
	if errors.Is(why, delta.ErrResync) {
		if s.told {
			return buffer.Header{}, errPassedOver
		}
		return buffer.Header{}, s.resync()
	}
	refused := refuse(http.StatusUnprocessableEntity, "payload", "a frame of the stream cannot be decoded: %w", why)
	if s.broken++; s.broken > streamBroken {
		return buffer.Header{}, refused
	}
	if failed := s.resync(); !errors.Is(failed, errPassedOver) {
		return buffer.Header{}, failed
	}
	if key && errors.Is(why, delta.ErrLimit) {
		// By itself the block is too large, and always will be.
		return buffer.Header{Lane: at.Lane, Session: at.Session, Seq: at.Seq}, refused
	}
	s.i.refused(s.source, refused)
	return buffer.Header{}, errPassedOver
}

// unpack decodes a frame. One that breaks the decoder is not decodable, nor is any
// after it before a key frame.
func (s *stream) unpack(frame []byte) (at delta.Stamp, b delta.Batch, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.decoder = nil
			at, b, err = delta.Stamp{}, delta.Batch{}, fmt.Errorf("%w: it broke the decoder: %v", delta.ErrMalformed, p)
		}
	}()
	if s.decoder == nil {
		s.decoder = delta.NewDecoder(s.i.codec)
	}
	s.latest = s.i.o.Now()
	return s.decoder.Decode(frame)
}

// resync tells the node to begin anew. It returns errPassedOver if that went well.
func (s *stream) resync() error {
	s.told = true
	s.i.metrics.resyncs.Inc()
	if err := s.write(wire.AppendMessage(nil, wire.Resync, nil)); err != nil {
		return err
	}
	return errPassedOver
}
