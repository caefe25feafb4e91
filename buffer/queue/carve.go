package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"ghostlight/buffer"
)

// Carving finds rows of blocks, pages of dictionaries and counts in the pages of a database that SQLite
// cannot read any more. It trusts nothing it sees: whatever looks like a table's
// leaf page is read as one, and what comes out must pass buffer.Open.
// Source of the layouts: the SQLite file format, sections 1.5, 1.6, 2 and 4.

const (
	leafTablePage  = 0x0d
	defaultPage    = 4096
	walHeaderSize  = 32
	walFrameHeader = 24
)

// A carver reads pages of a database, those in its write-ahead log first.
type carver struct {
	db, wal  io.ReaderAt // wal may be nil
	pageSize int64
	pages    int64           // pages in the file
	inWAL    map[int64]int64 // page number -> offset of its newest copy
	follow   int64           // overflow pages that may yet be followed: damage can tie them in knots
	page     []byte
}

// carve calls add with every row found in the database at path and in its log. An
// error is add's, or says that the file cannot be read at all.
func carve(path string, add func(id key, r record) error) error {
	db, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer db.Close()
	info, err := db.Stat()
	if err != nil {
		return err
	}
	wal, err := os.Open(path + "-wal")
	if err != nil {
		return newCarver(db, info.Size(), nil).run(add)
	}
	defer wal.Close()
	return newCarver(db, info.Size(), wal).run(add)
}

func newCarver(db io.ReaderAt, size int64, wal io.ReaderAt) *carver {
	c := &carver{db: db, inWAL: map[int64]int64{}}
	c.setPageSize()
	c.pages = (size + c.pageSize - 1) / c.pageSize
	if wal != nil {
		c.indexWAL(wal)
	}
	c.page = make([]byte, c.pageSize)
	c.follow = 4*int64(len(c.inWAL)) + 4*(size/c.pageSize) + 1024
	return c
}

// run reads every page.
func (c *carver) run(add func(id key, r record) error) error {
	inFile := c.pages
	for n := int64(1); n <= inFile; n++ {
		if err := c.rows(n, add); err != nil {
			return fmt.Errorf("page %d: %w", n, err)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(c.inWAL)) {
		if n > inFile {
			if err := c.rows(n, add); err != nil {
				return fmt.Errorf("page %d: %w", n, err)
			}
		}
	}
	return nil
}

// setPageSize believes the file's header if what it says is possible.
func (c *carver) setPageSize() {
	c.pageSize = defaultPage
	var head [18]byte
	if _, err := c.db.ReadAt(head[:], 0); err != nil {
		return
	}
	if size := int64(binary.BigEndian.Uint16(head[16:])); size >= 512 && size&(size-1) == 0 {
		c.pageSize = size
	}
}

// indexWAL finds the newest copy of each page in a write-ahead log. Frames of a
// former round have another salt.
func (c *carver) indexWAL(wal io.ReaderAt) {
	var head [walHeaderSize]byte
	if _, err := wal.ReadAt(head[:], 0); err != nil {
		return
	}
	c.wal = wal
	var frame [walFrameHeader]byte
	for at := int64(walHeaderSize); ; at += walFrameHeader + c.pageSize {
		if _, err := wal.ReadAt(frame[:], at); err != nil {
			return
		}
		if [8]byte(frame[8:16]) != [8]byte(head[16:24]) {
			return
		}
		n := int64(binary.BigEndian.Uint32(frame[:]))
		c.inWAL[n] = at + walFrameHeader
	}
}

// read fills buf with page n; what is missing of it is zero.
func (c *carver) read(n int64, buf []byte) {
	clear(buf)
	if at, ok := c.inWAL[n]; ok {
		_, _ = c.wal.ReadAt(buf, at) // short is as good as damaged: the checksum tells
		return
	}
	_, _ = c.db.ReadAt(buf, (n-1)*c.pageSize)
}

// rows reads page n as a leaf of a table, if it looks like one.
func (c *carver) rows(n int64, add func(key, record) error) error {
	page := c.page
	c.read(n, page)
	if n == 1 || page[0] != leafTablePage {
		return nil // page 1 holds the schema
	}
	cells := int(binary.BigEndian.Uint16(page[3:]))
	for i := range cells {
		pointer := 8 + 2*i
		if pointer+2 > len(page) {
			return nil
		}
		id, record := c.cell(int(binary.BigEndian.Uint16(page[pointer:])))
		if record == nil {
			continue
		}
		if err := add(id, record); err != nil {
			return err
		}
	}
	return nil
}

// cell reads the record at an offset of the current page, following its overflow
// pages; nil if it cannot be one.
func (c *carver) cell(at int) (key, record) {
	page := c.page
	if at < 8 || at >= len(page) {
		return 0, nil
	}
	size, n := sqliteVarint(page[at:])
	id, m := sqliteVarint(page[at+n:])
	if n == 0 || m == 0 || size > buffer.MaxBlockBytes+64 {
		return 0, nil
	}
	rest := page[at+n+m:]
	local := localPayload(int64(size), c.pageSize)
	if local == int64(size) {
		if int64(len(rest)) < local {
			return 0, nil
		}
		return key(id), append([]byte(nil), rest[:local]...)
	}
	if int64(len(rest)) < local+4 {
		return 0, nil
	}
	whole := append(make([]byte, 0, size), rest[:local]...)
	next := int64(binary.BigEndian.Uint32(rest[local:]))
	overflow := make([]byte, c.pageSize)
	for int64(len(whole)) < int64(size) {
		if c.follow--; next < 2 || c.follow < 0 {
			return 0, nil
		}
		c.read(next, overflow)
		take := min(int64(size)-int64(len(whole)), c.pageSize-4)
		whole = append(whole, overflow[4:4+take]...)
		next = int64(binary.BigEndian.Uint32(overflow))
	}
	return key(id), whole
}

// localPayload is how much of a record of size bytes stands on the leaf itself.
func localPayload(size, usable int64) int64 {
	most, least := usable-35, (usable-12)*32/255-23
	if size <= most {
		return size
	}
	if k := least + (size-least)%(usable-4); k <= most {
		return k
	}
	return least
}

// A record is a row in SQLite's record format, without its rowid.
type record []byte

// columns splits a record; ok is false if it has not exactly n columns or is
// broken.
func (r record) columns(n int) (types []uint64, columns [][]byte, ok bool) {
	head, m := sqliteVarint(r)
	if m == 0 || head > uint64(len(r)) || head < uint64(m) {
		return nil, nil, false
	}
	header, body := r[m:head], r[head:]
	for len(header) > 0 {
		kind, m := sqliteVarint(header)
		size := serialSize(kind)
		if m == 0 || size > uint64(len(body)) || len(types) == n {
			return nil, nil, false
		}
		types, columns = append(types, kind), append(columns, body[:size])
		header, body = header[m:], body[size:]
	}
	return types, columns, len(types) == n && len(body) == 0
}

// block takes created and data out of a row of blocks.
func (r record) block() (created int64, data []byte, ok bool) {
	types, columns, ok := r.columns(5) // id, session, samples, created, data
	if !ok || types[4] < 12 || types[4]%2 != 0 {
		return 0, nil, false
	}
	for _, b := range columns[3] {
		created = created<<8 | int64(b)
	}
	return created, columns[4], true
}

// counts takes the text out of a row of lanes.
func (r record) counts() (text []byte, ok bool) {
	types, columns, ok := r.columns(2) // lane, counts
	if !ok || types[1] < 13 || types[1]%2 != 1 {
		return nil, false
	}
	return columns[1], true
}

// page takes the data out of a row of pages.
func (r record) page() (data []byte, ok bool) {
	types, columns, ok := r.columns(2) // id, data
	if !ok || types[1] < 12 || types[1]%2 != 0 {
		return nil, false
	}
	return columns[1], true
}

// serialSize is how many bytes a value of a serial type takes.
func serialSize(kind uint64) uint64 {
	switch {
	case kind < 10:
		return []uint64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
	case kind < 12:
		return 1 << 62 // reserved: no record has it
	default:
		return (kind - 12) / 2
	}
}

// sqliteVarint reads SQLite's big-endian varint of 1 to 9 bytes; n is 0 if it is
// cut short.
func sqliteVarint(b []byte) (v uint64, n int) {
	for i := 0; i < 9 && i < len(b); i++ {
		if i == 8 {
			return v<<8 | uint64(b[i]), 9
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
