package delta

// Sections returns the sections of b before compression, for fuzzing what lies
// behind it.
func Sections(b Batch) ([sectionCount][]byte, error) {
	e := newEncoder(DefaultLimits())
	err := e.batch(b)
	return e.sections(), err
}

// Uncompressed is a payload of sections as they are.
func Uncompressed(sections ...[]byte) []byte {
	payload := []byte{formatVersion}
	for _, s := range sections {
		payload = append(appendUvarint(payload, uint64(len(s))<<1), s...)
	}
	return payload
}
