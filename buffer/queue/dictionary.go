package queue

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

const (
	// wornLeast and wornTimes: a dictionary of more series than either is replaced
	// when batches have had so many times fewer lately. Every block copies what the
	// dictionary knows of all its series.
	wornLeast = 4096
	wornTimes = 4
)

// dictionaries are what the folder's blocks are coded against: one that grows
// and, until their last block is gone, those that were full or worn before it.
// Their pages are stored in both files, so that the damage of one costs the other
// nothing. A page is owed to a file until a transaction has stored it there; no
// block that needs it is stored before.
type dictionaries struct {
	codec *delta.Codec
	files []*file

	mu      sync.Mutex // guards what follows; taken after a file's
	current *delta.Dict
	lately  *delta.Dict         // of the ones before, the one that was read last
	live    map[buffer.Lane]int // series that a batch has lately
	held    map[uint64]int      // blocks coded and not yet stored, by dictionary
	owed    map[*file][]page
}

func newDictionaries(codec *delta.Codec, files ...*file) *dictionaries {
	return &dictionaries{codec: codec, files: files, live: map[buffer.Lane]int{}, held: map[uint64]int{}, owed: map[*file][]page{}}
}

// open continues the newest dictionary. What pages one file lacks is owed to it.
// whole says that both files are as they were left: else a page of the newest may
// be gone without a trace, and it is not continued.
func (d *dictionaries) open(whole bool) error {
	all, has := map[pageID]page{}, map[*file]map[pageID]bool{}
	newest := uint64(0)
	for _, f := range d.files {
		pages, err := f.allPages()
		if err != nil {
			return err
		}
		has[f] = map[pageID]bool{}
		for _, p := range pages {
			newest = max(newest, p.id.dict())
			all[p.id], has[f][p.id] = p, true
		}
	}
	list := slices.SortedFunc(maps.Values(all), page.compare)
	for _, f := range d.files {
		d.owed[f] = slices.DeleteFunc(slices.Clone(list), func(p page) bool { return has[f][p.id] })
	}
	if newest == 0 {
		d.current = delta.NewDict(d.codec, 1+uint64(rand.Uint32N(1<<20))) // not one that lies in a damaged copy
		return nil
	}
	var err error
	d.current, err = readDictionary(d.codec, newest, list)
	if !whole || err != nil {
		d.lately, d.current = d.current, delta.NewDict(d.codec, newest+1)
	}
	return nil
}

// readDictionary reads a dictionary from the pages that are left of it, up to the
// first that is missing or damaged, which is the error.
func readDictionary(codec *delta.Codec, id uint64, pages []page) (*delta.Dict, error) {
	dict := delta.NewDict(codec, id)
	for _, p := range pages {
		if p.id.dict() != id {
			continue
		}
		if err := dict.Add(p.data); err != nil {
			return dict, err
		}
	}
	return dict, nil
}

// encode codes a batch. The dictionary it names is held until release.
func (d *dictionaries) encode(lane buffer.Lane, b delta.Batch) (payload []byte, id uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live[lane] = max(len(b.Series), d.live[lane]-d.live[lane]/16)
	if d.worn() {
		d.succeed(delta.NewDict(d.codec, d.current.ID()+1))
	}
	payload, added, err := d.current.Encode(nil, b)
	if errors.Is(err, delta.ErrLimit) && d.current.Len() > 0 {
		// Either the dictionary is full or the batch is too large for any.
		next := delta.NewDict(d.codec, d.current.ID()+1)
		if payload, added, err = next.Encode(nil, b); err == nil {
			d.succeed(next)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	id = d.current.ID()
	if added != nil {
		p := page{id: makePageID(id, added.First), data: added.Data}
		for _, f := range d.files {
			d.owed[f] = append(d.owed[f], p)
		}
	}
	d.held[id]++
	return payload, id, nil
}

// worn reports whether most series of the dictionary are of the past.
func (d *dictionaries) worn() bool {
	live := 0
	for _, n := range d.live {
		live += n
	}
	return d.current.Len() > max(wornLeast, wornTimes*live)
}

func (d *dictionaries) succeed(next *delta.Dict) {
	d.lately, d.current = d.current, next
}

// release says that a block is stored or given up.
func (d *dictionaries) release(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held[id]--; d.held[id] <= 0 {
		delete(d.held, id)
	}
}

// decode reads a payload. load reads the pages of a dictionary that is not in
// memory.
func (d *dictionaries) decode(payload []byte, load func(id uint64) ([]page, error)) (delta.Batch, error) {
	id, ok := dictionaryOf(payload)
	if !ok {
		return d.codec.Decode(payload)
	}
	d.mu.Lock()
	dict := d.known(id)
	if dict == nil {
		d.mu.Unlock()
		pages, err := load(id)
		if err != nil {
			return delta.Batch{}, err
		}
		// What is missing of it is missed by the blocks that need it.
		dict, _ = readDictionary(d.codec, id, pages)
		d.mu.Lock()
		d.lately = dict
	}
	defer d.mu.Unlock()
	return dict.Decode(payload)
}

func (d *dictionaries) known(id uint64) *delta.Dict {
	switch {
	case d.current.ID() == id:
		return d.current
	case d.lately != nil && d.lately.ID() == id:
		return d.lately
	}
	return nil
}

// owing are the pages that a file must store before any block.
func (d *dictionaries) owing(f *file) []page {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.owed[f]
}

// paid says that the first n of them are stored.
func (d *dictionaries) paid(f *file, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed[f] = append([]page(nil), d.owed[f][n:]...)
}

// restore owes a file that was rebuilt all pages: what it lost of them is in the
// other file or owed to that.
func (d *dictionaries) restore(f *file) error {
	for _, other := range d.files {
		if other == f {
			continue
		}
		pages, err := other.allPages()
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.owed[f] = slices.Concat(d.owed[f], pages, d.owed[other])
		d.mu.Unlock()
	}
	return nil
}

// idle reports whether no block that is not stored yet needs dictionary id and
// none ever will.
func (d *dictionaries) idle(id uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held[id] == 0 && id != d.current.ID()
}

// dictionaryOf names the dictionary that a payload at rest was coded against; ok
// is false if it needs none.
func dictionaryOf(payload []byte) (id uint64, ok bool) {
	const restVersion, head = 2, 2
	if len(payload) <= head || payload[0] != restVersion {
		return 0, false
	}
	id, n := binary.Uvarint(payload[head:])
	return id, n > 0
}
