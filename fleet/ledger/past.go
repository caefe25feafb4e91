package ledger

import "encoding/binary"

const pastsVersion = 1

// packPasts is a row of bucket_pasts: version u8, then for each past: uvarint of the
// objective, minute within the hour u8, cause u8, the bucket, and a varint of its
// arrival, milliseconds after the minute's start.
func packPasts(list []past) []byte {
	out := []byte{pastsVersion}
	for i := range list {
		p := &list[i]
		out = binary.AppendUvarint(out, uint64(p.objective))
		out = append(out, byte(p.Minute%60), p.cause.number())
		out = appendBucket(out, &p.Bucket, 0)
		out = binary.AppendVarint(out, p.arrivedMS-p.Minute*60_000)
	}
	return out
}

// unpackPasts reads what packPasts wrote.
func unpackPasts(hour, arrival, untilMS int64, row []byte) ([]past, error) {
	r := reader{src: row}
	if r.byte() != pastsVersion {
		return nil, errRow
	}
	var out []past
	for len(r.src) > 0 {
		p := past{objective: int64(r.uvarint()), arrival: arrival, untilMS: untilMS}
		minute, cause := int64(r.byte()), int(r.byte())
		p.Bucket = r.bucket(0)
		p.Minute = hour*60 + minute
		p.arrivedMS = p.Minute*60_000 + r.varint()
		if r.bad || minute > 59 || cause >= len(causes) || !possible(&p.Bucket) {
			return nil, errRow
		}
		p.cause = causes[cause]
		out = append(out, p)
	}
	return out, nil
}
