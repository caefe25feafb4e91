package ingest

import (
	"sync"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// handoverBytes bounds the decoded blocks that wait in memory to be applied; those
// beyond it are read from the journal.
const handoverBytes = 32 << 20

// A handover passes what was decoded when it was accepted to the applier, so that
// the journal is read only after a restart or under pressure. It may forget
// anything at any time.
type handover struct {
	mu     sync.Mutex
	blocks map[int64]handed // guarded by mu; by id in the journal
	bytes  int64            // guarded by mu
}

type handed struct {
	source buffer.Source
	size   int64 // in memory
	content
}

// content is a decoded block.
type content struct {
	header buffer.Header
	names  uint64 // hash of the names of its series; 0: not known
	batch  delta.Batch
}

// put keeps a block if there is room.
func (h *handover) put(id int64, c handed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes+c.size > handoverBytes {
		return
	}
	if h.blocks == nil {
		h.blocks = map[int64]handed{}
	}
	h.blocks[id] = c
	h.bytes += c.size
}

// run returns the blocks from id on, without a gap: at most count, and no more
// once they have the given bytes together.
func (h *handover) run(id int64, count int, bytes int64) (out []handed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for size := int64(0); len(out) < count && size < bytes; id++ {
		c, ok := h.blocks[id]
		if !ok {
			break
		}
		out, size = append(out, c), size+c.size
	}
	return out
}

// forget drops all blocks up to id: they are applied.
func (h *handover) forget(id int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, c := range h.blocks {
		if n <= id {
			delete(h.blocks, n)
			h.bytes -= c.size
		}
	}
}

// What the parts of a batch take in memory, about.
const (
	seriesBytes = 128
	sampleBytes = 16
	recordSize  = 96
	otherBytes  = 512
)

// batchBytes is about what a batch takes in memory beside its labels, which blocks
// of one node share.
func batchBytes(b *delta.Batch) int64 {
	n := seriesBytes*len(b.Series) + sampleBytes*b.Samples() + otherBytes*(len(b.Histograms)+len(b.Exemplars))
	for i := range b.Records {
		n += recordSize + len(b.Records[i].Body)
	}
	return int64(n)
}
