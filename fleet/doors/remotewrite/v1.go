package remotewrite

import (
	"fmt"
	"unicode/utf8"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors/fields"
)

// request1 reads a prometheus.WriteRequest: timeseries 1, metadata 3.
func (d *decoder) request1(msg []byte) error {
	r := fields.Read(msg)
	for r.Next() {
		var err error
		switch {
		case r.Is(1):
			err = d.series1(r.Bytes)
		case r.Is(3):
			err = d.metadata1(r.Bytes)
		}
		if err != nil {
			return err
		}
	}
	return r.Err()
}

// series1 reads a prometheus.TimeSeries: labels 1, samples 2, exemplars 3,
// histograms 4.
func (d *decoder) series1(msg []byte) error {
	d.begin()
	r := fields.Read(msg)
	for r.Next() {
		var err error
		switch {
		case r.Is(1):
			err = d.label1(r.Bytes)
		case r.Is(2):
			err = d.sample(r.Bytes)
		case r.Is(3):
			d.res.Exemplars++
		case r.Is(4):
			err = d.histogram(r.Bytes)
		}
		if err != nil {
			return err
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	return d.end()
}

// label1 reads a prometheus.Label: name 1, value 2.
func (d *decoder) label1(msg []byte) error {
	var name, value []byte
	r := fields.Read(msg)
	for r.Next() {
		switch {
		case r.Is(1):
			name = r.Bytes
		case r.Is(2):
			value = r.Bytes
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	n, err := d.text(name)
	if err != nil {
		return err
	}
	v, err := d.text(value)
	if err != nil {
		return err
	}
	return d.label(n, v)
}

// metadata1 reads a prometheus.MetricMetadata: type 1, family 2, help 4, unit 5.
// It becomes a series without samples.
func (d *decoder) metadata1(msg []byte) error {
	d.begin()
	var family []byte
	var help, unit []byte
	r := fields.Read(msg)
	for r.Next() {
		switch {
		case r.Number == 1:
			d.meta.Type = types[r.Bits]
		case r.Is(2):
			family = r.Bytes
		case r.Is(4):
			help = r.Bytes
		case r.Is(5):
			unit = r.Bytes
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	if why := d.metaFault(family, help, unit); why != "" {
		d.refuse(RefusedMetadata, 1, "metadata of %.64q: %s", family, why)
		return nil
	}
	name, err := d.text(family)
	if err != nil {
		return err
	}
	if d.meta.Help, err = d.text(help); err != nil {
		return err
	}
	if d.meta.Unit, err = d.text(unit); err != nil {
		return err
	}
	if d.meta == (delta.Meta{}) {
		return nil // says nothing
	}
	return d.add([]delta.Label{{Name: nameLabel, Value: name}}, nil)
}

func (d *decoder) metaFault(family []byte, texts ...[]byte) string {
	size := len(family)
	valid := utf8.Valid(family)
	for _, t := range texts {
		size += len(t)
		valid = valid && utf8.Valid(t)
	}
	switch {
	case len(family) == 0:
		return "it names no metric"
	case !valid:
		return "it is not UTF-8"
	case size > d.o.LabelBytes:
		return fmt.Sprintf("it has %d bytes, at most %d are taken", size, d.o.LabelBytes)
	}
	return ""
}
