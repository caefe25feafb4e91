package remotewrite

import (
	"fmt"

	"ghostlight/fleet/doors/fields"
)

// symbolsPerSeries bounds the table of symbols by the series allowed.
const symbolsPerSeries = 16

// request2 reads an io.prometheus.write.v2.Request: symbols 4, timeseries 5. The
// symbols may come in any place, so they are read first.
func (d *decoder) request2(msg []byte) error {
	r := fields.Read(msg)
	for r.Next() {
		if !r.Is(4) {
			continue
		}
		if len(d.symbols) >= symbolsPerSeries*d.o.Series {
			return fmt.Errorf("%w: it holds more than %d symbols", ErrLimit, symbolsPerSeries*d.o.Series)
		}
		s, err := d.text(r.Bytes)
		if err != nil {
			return err
		}
		if err := d.take(costText / 2); err != nil {
			return err
		}
		d.symbols = append(d.symbols, s)
	}
	if r.Err() != nil {
		return r.Err()
	}
	if len(d.symbols) > 0 && d.symbols[0] != "" {
		return fmt.Errorf("%w: the first symbol is %.64q, it must be empty", ErrMalformed, d.symbols[0])
	}
	r = fields.Read(msg)
	for r.Next() {
		if r.Is(5) {
			if err := d.series2(r.Bytes); err != nil {
				return err
			}
		}
	}
	return r.Err()
}

// series2 reads an io.prometheus.write.v2.TimeSeries: labels_refs 1, samples 2,
// histograms 3, exemplars 4, metadata 5.
func (d *decoder) series2(msg []byte) error {
	d.begin()
	refs := refPairs{d: d}
	r := fields.Read(msg)
	for r.Next() {
		var err error
		switch {
		case r.Number == 1:
			if err = r.Varints(refs.add); err == nil {
				err = refs.err
			}
		case r.Is(2):
			err = d.sample(r.Bytes)
		case r.Is(3):
			err = d.histogram(r.Bytes)
		case r.Is(4):
			d.res.Exemplars++
		case r.Is(5):
			err = d.metadata2(r.Bytes)
		}
		if err != nil {
			return err
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	if refs.half && d.fault == "" {
		d.fault = "a label reference has no partner"
	}
	return d.end()
}

// refPairs turns references into labels, two by two.
type refPairs struct {
	d    *decoder
	name string
	half bool // name waits for its value
	err  error
}

func (p *refPairs) add(ref uint64) {
	if p.err != nil {
		return
	}
	s, ok := p.d.symbol(ref)
	if !ok && p.d.fault == "" {
		p.d.fault = fmt.Sprintf("it refers to symbol %d of %d", ref, len(p.d.symbols))
	}
	if p.half = !p.half; p.half {
		p.name = s
		return
	}
	p.err = p.d.label(p.name, s)
}

func (d *decoder) symbol(ref uint64) (string, bool) {
	if ref >= uint64(len(d.symbols)) {
		return "", false
	}
	return d.symbols[ref], true
}

// metadata2 reads an io.prometheus.write.v2.Metadata: type 1, help_ref 3,
// unit_ref 4. What cannot be used of it leaves the series without.
func (d *decoder) metadata2(msg []byte) error {
	known := true
	r := fields.Read(msg)
	for r.Next() {
		var ok bool
		switch r.Number {
		case 1:
			d.meta.Type = types[r.Bits]
		case 3:
			d.meta.Help, ok = d.symbol(r.Bits)
			known = known && ok
		case 4:
			d.meta.Unit, ok = d.symbol(r.Bits)
			known = known && ok
		}
	}
	why := "it refers to an unknown symbol"
	if known {
		why = d.metaFault([]byte("-"), []byte(d.meta.Help), []byte(d.meta.Unit))
	}
	if why != "" {
		d.meta.Help, d.meta.Unit = "", ""
		d.refuse(RefusedMetadata, 1, "metadata of a series: %s", why)
	}
	return r.Err()
}
