package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
)

// A Kind is the type of a carved value.
type Kind uint8

// The kinds of values that SQLite stores.
const (
	Null Kind = iota
	Integer
	Float
	Text
	Blob
)

// A Value is one column of a row that was carved.
type Value struct {
	Kind  Kind
	Int   int64  // of an Integer; the bits of a Float
	Bytes []byte // of a Text or Blob
}

// Carve finds rows in the pages of a database that SQLite cannot read any more, in
// its log first, and calls add with each: with its rowid, or 0 where the table or
// index has none, and its columns as they are stored, in which an integer primary
// key is Null. Rows longer than most bytes are passed over, and a row may come more
// than once.
//
// It trusts nothing it sees: whatever looks like a page of rows is read as one. Which
// table a row is of, and whether it is intact, must follow from the row. The error
// is add's, or says that the file cannot be read at all; one that is missing holds
// no rows.
//
// Source of the layouts: the SQLite file format, sections 1.5, 1.6, 2 and 4.
func Carve(path string, most int64, add func(rowid int64, row []Value) error) error {
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
		return newCarver(db, info.Size(), nil, most).run(add)
	}
	defer wal.Close()
	return newCarver(db, info.Size(), wal, most).run(add)
}

const (
	innerIndexPage = 0x02 // holds rows, too
	leafIndexPage  = 0x0a
	leafTablePage  = 0x0d
	defaultPage    = 4096
	walHeaderSize  = 32
	walFrameHeader = 24
)

// A carver reads pages of a database, those in its write-ahead log first.
type carver struct {
	db, wal  io.ReaderAt // wal may be nil
	most     int64
	pageSize int64
	pages    int64           // pages in the file
	inWAL    map[int64]int64 // page number -> offset of its newest copy
	follow   int64           // overflow pages that may yet be followed: damage can tie them in knots
	page     []byte
	overflow []byte
}

func newCarver(db io.ReaderAt, size int64, wal io.ReaderAt, most int64) *carver {
	c := &carver{db: db, most: most, inWAL: map[int64]int64{}, pageSize: defaultPage}
	var head [18]byte
	if _, err := db.ReadAt(head[:], 0); err == nil {
		// The file's header is believed if what it says is possible.
		if said := int64(binary.BigEndian.Uint16(head[16:])); said >= 512 && said&(said-1) == 0 {
			c.pageSize = said
		}
	}
	c.pages = (size + c.pageSize - 1) / c.pageSize
	if wal != nil {
		c.indexWAL(wal)
	}
	c.page, c.overflow = make([]byte, c.pageSize), make([]byte, c.pageSize)
	c.follow = 4*(int64(len(c.inWAL))+c.pages) + 1024
	return c
}

// run reads every page.
func (c *carver) run(add func(int64, []Value) error) error {
	inFile := c.pages
	for n := int64(1); n <= inFile; n++ {
		if err := c.rows(n, add); err != nil {
			return fmt.Errorf("page %d: %w", n, err)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(c.inWAL)) {
		if n <= inFile {
			continue
		}
		if err := c.rows(n, add); err != nil {
			return fmt.Errorf("page %d: %w", n, err)
		}
	}
	return nil
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
		if _, err := wal.ReadAt(frame[:], at); err != nil || [8]byte(frame[8:16]) != [8]byte(head[16:24]) {
			return
		}
		c.inWAL[int64(binary.BigEndian.Uint32(frame[:]))] = at + walFrameHeader
	}
}

// read fills buf with page n; what is missing of it is zero.
func (c *carver) read(n int64, buf []byte) {
	clear(buf)
	if at, ok := c.inWAL[n]; ok {
		_, _ = c.wal.ReadAt(buf, at) // short is as good as damaged
		return
	}
	_, _ = c.db.ReadAt(buf, (n-1)*c.pageSize)
}

// rows reads page n as one that holds rows, if it looks like one.
func (c *carver) rows(n int64, add func(int64, []Value) error) error {
	c.read(n, c.page)
	header, child := 8, 0
	switch c.page[0] {
	case leafTablePage, leafIndexPage:
	case innerIndexPage:
		header, child = 12, 4 // each row follows the number of a page
	default:
		return nil
	}
	if n == 1 {
		return nil // the schema
	}
	for i := range int(binary.BigEndian.Uint16(c.page[3:])) {
		pointer := header + 2*i
		if pointer+2 > len(c.page) {
			return nil
		}
		rowid, record := c.cell(int(binary.BigEndian.Uint16(c.page[pointer:]))+child, c.page[0] == leafTablePage)
		row, ok := columns(record)
		if !ok {
			continue
		}
		if err := add(rowid, row); err != nil {
			return err
		}
	}
	return nil
}

// cell reads the record at an offset of the current page, following its overflow
// pages; nil if it cannot be one.
func (c *carver) cell(at int, table bool) (rowid int64, record []byte) {
	if at < 8 || at >= len(c.page) {
		return 0, nil
	}
	rest := c.page[at:]
	size, n := varint(rest)
	rest = rest[n:]
	if table {
		id, m := varint(rest)
		if m == 0 {
			return 0, nil
		}
		rowid, rest = int64(id), rest[m:]
	}
	if n == 0 || size > uint64(c.most) {
		return 0, nil
	}
	local := localPayload(int64(size), c.pageSize, table)
	if local == int64(size) {
		if int64(len(rest)) < local {
			return 0, nil
		}
		return rowid, append([]byte(nil), rest[:local]...)
	}
	if int64(len(rest)) < local+4 {
		return 0, nil
	}
	whole := append(make([]byte, 0, size), rest[:local]...)
	next := int64(binary.BigEndian.Uint32(rest[local:]))
	for int64(len(whole)) < int64(size) {
		if c.follow--; next < 2 || c.follow < 0 {
			return 0, nil
		}
		c.read(next, c.overflow)
		take := min(int64(size)-int64(len(whole)), c.pageSize-4)
		whole = append(whole, c.overflow[4:4+take]...)
		next = int64(binary.BigEndian.Uint32(c.overflow))
	}
	return rowid, whole
}

// localPayload is how much of a record of size bytes stands on the leaf itself.
func localPayload(size, usable int64, table bool) int64 {
	most, least := usable-35, (usable-12)*32/255-23
	if !table {
		most = (usable-12)*64/255 - 23
	}
	if size <= most {
		return size
	}
	if k := least + (size-least)%(usable-4); k <= most {
		return k
	}
	return least
}

// columns splits a record; ok is false if it is broken.
func columns(record []byte) (row []Value, ok bool) {
	head, n := varint(record)
	if n == 0 || head > uint64(len(record)) || head < uint64(n) {
		return nil, false
	}
	header, body := record[n:head], record[head:]
	for len(header) > 0 {
		kind, m := varint(header)
		if m == 0 {
			return nil, false
		}
		v, size, ok := value(kind, body)
		if !ok {
			return nil, false
		}
		row, header, body = append(row, v), header[m:], body[size:]
	}
	return row, len(row) > 0 && len(body) == 0
}

// value reads a value of a serial type from the beginning of body.
func value(kind uint64, body []byte) (v Value, size uint64, ok bool) {
	switch {
	case kind == 0:
		return Value{}, 0, true
	case kind == 8 || kind == 9:
		return Value{Kind: Integer, Int: int64(kind - 8)}, 0, true
	case kind < 8:
		size = [...]uint64{0, 1, 2, 3, 4, 6, 8, 8}[kind]
	case kind < 12 || kind > math.MaxInt64:
		return Value{}, 0, false // reserved: no record has it
	default:
		size = (kind - 12) / 2
	}
	if size > uint64(len(body)) {
		return Value{}, 0, false
	}
	body = body[:size]
	if kind >= 12 {
		v = Value{Kind: Blob, Bytes: body}
		if kind%2 == 1 {
			v.Kind = Text
		}
		return v, size, true
	}
	v.Kind, v.Int = Integer, int64(int8(body[0]))
	for _, b := range body[1:] {
		v.Int = v.Int<<8 | int64(b)
	}
	if kind == 7 {
		v.Kind = Float
	}
	return v, size, true
}

// varint reads SQLite's big-endian varint of 1 to 9 bytes; n is 0 if it is cut
// short.
func varint(b []byte) (v uint64, n int) {
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
