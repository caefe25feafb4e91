package sli

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"ghostlight/slo"
)

const counterVersion = 1

var errState = errors.New("stored readings are not what this version writes")

// encode: version, the carries of total and part, then for each series its key, its
// parts (1 total, 2 part), its last value (8 bytes, little endian) and a varint of
// the time of that.
func (c *counter) encode() []byte {
	total, carry := c.total.State()
	part, partCarry := c.part.State()
	b := binary.LittleEndian.AppendUint64([]byte{counterVersion}, math.Float64bits(carry))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(partCarry))
	for _, key := range slices.Sorted(maps.Keys(c.at)) {
		value, isTotal := total[key]
		other, isPart := part[key]
		flags := byte(0)
		if isTotal {
			flags |= byte(inTotal)
		}
		if isPart {
			value, flags = other, flags|byte(inPart)
		}
		b = append(append(b, key...), flags)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(value))
		b = binary.AppendVarint(b, c.at[key])
	}
	return b
}

// decode makes c what was stored; nil is nothing.
func (c *counter) decode(raw []byte) error {
	total, part, at := map[string]float64{}, map[string]float64{}, map[string]int64{}
	var carries [2]float64
	if raw != nil {
		if len(raw) < 17 || raw[0] != counterVersion {
			return errState
		}
		for i := range carries {
			carries[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[1+8*i:]))
		}
		for raw = raw[17:]; len(raw) > 0; {
			if len(raw) < keyBytes+10 {
				return errState
			}
			key, flags := string(raw[:keyBytes]), raw[keyBytes]
			value := math.Float64frombits(binary.LittleEndian.Uint64(raw[keyBytes+1:]))
			when, n := binary.Varint(raw[keyBytes+9:])
			if n <= 0 {
				return errState
			}
			if flags&byte(inTotal) != 0 {
				total[key] = value
			}
			if flags&byte(inPart) != 0 {
				part[key] = value
			}
			at[key], raw = when, raw[keyBytes+9+n:]
		}
	}
	c.total, c.part, c.at = slo.NewGrowth(total, carries[0]), slo.NewGrowth(part, carries[1]), at
	c.dirty = false
	return nil
}
