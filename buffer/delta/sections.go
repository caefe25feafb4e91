package delta

import "fmt"

// appendNew describes the series of the book from number known on.
func (c *Codec) appendNew(dst []byte, k *book, known int) ([]byte, error) {
	text, shape, err := k.sections(c.limits, known)
	if err != nil {
		return dst, err
	}
	return c.appendSections(dst, &c.names, text, shape)
}

// readNew is the inverse of appendNew.
func (c *Codec) readNew(r *reader, k *book) error {
	text, shape, err := c.readSections(r)
	if err != nil {
		return err
	}
	return k.read(c.limits, text, shape)
}

// appendSections appends a text and what refers to it, each compressed where
// that is smaller.
func (c *Codec) appendSections(dst []byte, by *compressor, text, shape []byte) ([]byte, error) {
	if size := int64(len(text) + len(shape)); size > c.limits.Bytes {
		return dst, fmt.Errorf("%w: %d bytes before compression, at most %d", ErrLimit, size, c.limits.Bytes)
	}
	z, err := by.take()
	if err != nil {
		return dst, err
	}
	defer by.giveBack()
	return appendSection(appendSection(dst, z, text), z, shape), nil
}

// readSections is the inverse of appendSections.
func (c *Codec) readSections(r *reader) (text, shape []byte, err error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	z, err := c.decoder()
	if err != nil {
		return nil, nil, err
	}
	defer c.decoders.Put(z)
	budget := c.limits.Bytes
	if text, r.src, err = readSection(r.src, z, budget); err != nil {
		return nil, nil, fmt.Errorf("text: %w", err)
	}
	if shape, r.src, err = readSection(r.src, z, budget-int64(len(text))); err != nil {
		return nil, nil, fmt.Errorf("shape: %w", err)
	}
	return text, shape, nil
}

// What a frame or block ends in: nothing, or coded series up to its end.
const (
	seriesNone  = 0
	seriesCoded = 1
)

// appendSeries appends the series of a batch as the last part.
func (s *state) appendSeries(dst []byte, p *plan, b *Batch, aside bool) ([]byte, error) {
	if len(b.Series) == 0 {
		return append(dst, seriesNone), nil
	}
	c := newWriter(append(dst, seriesCoded))
	if err := s.writeBody(&c, p, b, aside); err != nil {
		return dst, err
	}
	return c.finish(), nil
}

// readSeries is the inverse of appendSeries; it takes all that is left.
func (s *state) readSeries(r *reader, k *book, aside bool) ([]Series, error) {
	s.current = nil
	how := r.byte()
	if r.err != nil {
		return nil, r.err
	}
	switch {
	case how == seriesNone && len(r.src) == 0:
		return nil, nil
	case how != seriesCoded:
		return nil, fmt.Errorf("%w: series of kind %d before %d bytes", ErrMalformed, how, len(r.src))
	}
	c := newReader(r.src)
	series, err := s.readBody(&c, k, aside)
	if err != nil {
		return nil, err
	}
	return series, c.end()
}
