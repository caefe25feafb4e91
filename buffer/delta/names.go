package delta

import "fmt"

// namesVersion is the first byte of an encoded list of names.
const namesVersion = 2

// EncodeNames appends the labels and metadata of series, in order and without
// samples, to dst: what a store keeps once for the many blocks that have the same
// [NamesHash]. The error wraps [ErrInvalid] or [ErrLimit]; dst is then returned
// as it was.
func (c *Codec) EncodeNames(dst []byte, series []Series) ([]byte, error) {
	if len(series) > c.limits.Series {
		return dst, fmt.Errorf("%w: %d series, at most %d", ErrLimit, len(series), c.limits.Series)
	}
	for i := range series {
		if err := checkLabels(series[i].Labels, c.limits.LabelBytes); err != nil {
			return dst, fmt.Errorf("series %d: %w", i, err)
		}
	}
	out := appendUvarint(append(dst, namesVersion), uint64(len(series)))
	if len(series) == 0 {
		return out, nil
	}
	out, err := c.appendNew(out, &book{series: series}, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// DecodeNames is the inverse of EncodeNames. The error wraps [ErrMalformed] or
// [ErrLimit].
func (c *Codec) DecodeNames(src []byte) ([]Series, error) {
	r := reader{src: src}
	if version := r.byte(); version != namesVersion {
		return nil, fmt.Errorf("%w: not a list of names of version %d", ErrMalformed, namesVersion)
	}
	n := r.uvarint()
	if r.err != nil {
		return nil, r.err
	}
	var k book
	if n > 0 {
		if err := c.readNew(&r, &k); err != nil {
			return nil, err
		}
	}
	if n != uint64(len(k.series)) || len(r.src) > 0 {
		return nil, fmt.Errorf("%w: %d names where %d are announced, %d bytes left", ErrMalformed, len(k.series), n, len(r.src))
	}
	return k.series, nil
}
