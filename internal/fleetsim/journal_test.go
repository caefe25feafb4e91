package fleetsim

import (
	"errors"
	"slices"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

type digest = [16]byte

// A blockKey is the identity of a block.
type blockKey struct {
	node    int
	session buffer.Session
	lane    buffer.Lane
	at      wire.Range
}

// A laneKey names a sequence.
type laneKey struct {
	node    int
	session buffer.Session
	lane    buffer.Lane
}

var (
	errConflict = errors.New("this sequence is held with another content")
	errOverlap  = errors.New("some of these sequences are held and some are not")
)

// A journal is the centre's disk: what was committed outlives everything. Its
// rules are those of fleet/ingest.
type journal struct {
	w *world

	mu      sync.Mutex // guards what follows
	runs    map[laneKey][]wire.Range
	digests map[blockKey]digest
	books   map[int]*books
	latest  map[int]time.Time // when the newest revenue was committed on its node
	merged  int
	again   int
}

func newJournal(w *world) *journal {
	return &journal{w: w, runs: map[laneKey][]wire.Range{}, digests: map[blockKey]digest{}, books: map[int]*books{}, latest: map[int]time.Time{}}
}

// A post is one block that waits to be committed.
type post struct {
	node    int
	at      delta.Stamp
	batch   delta.Batch
	digest  digest
	outcome chan<- outcome // with room for the answer
}

// An outcome answers a post.
type outcome struct {
	of        delta.Stamp
	held      wire.Range // the run of accepted sequences around the block
	duplicate bool
	err       error
}

// commit stores posts at once, unless the process that wants it is dead.
func (j *journal) commit(p *process, posts []post) (outcomes []outcome, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.dead {
		return nil, false
	}
	for i := range posts {
		o := j.accept(&posts[i])
		o.of = posts[i].at
		outcomes = append(outcomes, o)
	}
	return outcomes, true
}

// kill makes sure that a process commits nothing more.
func (j *journal) kill(p *process) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p.dead = true
}

// accept stores one block unless its sequences are held already.
func (j *journal) accept(p *post) outcome {
	lane := laneKey{p.node, p.at.Session, p.at.Lane}
	is := wire.Range{First: p.at.Start(), Last: p.at.Seq}
	held := j.around(lane, is.Last)
	switch {
	case held.First <= is.First && held.Last >= is.Last && j.w.bug != bugCountRepeats:
		if was, ok := j.digests[blockKey{p.node, p.at.Session, p.at.Lane, is}]; ok && was != p.digest {
			return outcome{err: errConflict}
		}
		j.again++
		return outcome{held: held, duplicate: true}
	case held.Last >= is.First && j.w.bug != bugCountRepeats:
		return outcome{err: errOverlap}
	}
	j.digests[blockKey{p.node, p.at.Session, p.at.Lane, is}] = p.digest
	j.enter(p)
	return outcome{held: j.extend(lane, is)}
}

// enter counts a block that is new.
func (j *journal) enter(p *post) {
	if p.at.Start() != p.at.Seq {
		j.merged++
	}
	if j.books[p.node] == nil {
		j.books[p.node] = newBooks()
	}
	j.books[p.node].add(p.at.Lane, p.at.Seq-p.at.Start()+1, p.batch)
	if _, last := p.batch.TimeRange(); p.at.Lane == buffer.Revenue {
		if at := time.UnixMilli(last); at.After(j.latest[p.node]) {
			j.latest[p.node] = at
		}
	}
}

// around returns the last run of accepted sequences that begins at a sequence or
// before; the zero range if there is none.
func (j *journal) around(lane laneKey, seq buffer.Seq) (held wire.Range) {
	for _, r := range j.runs[lane] {
		if r.First <= seq {
			held = r
		}
	}
	return held
}

// extend adds to the accepted runs: it may lengthen one, or join two.
func (j *journal) extend(lane laneKey, is wire.Range) wire.Range {
	j.runs[lane] = slices.DeleteFunc(j.runs[lane], func(r wire.Range) bool {
		if r.First != is.Last+1 && r.Last != is.First-1 {
			return false
		}
		is.First, is.Last = min(is.First, r.First), max(is.Last, r.Last)
		return true
	})
	i, _ := slices.BinarySearchFunc(j.runs[lane], is, func(r, is wire.Range) int { return int(int64(r.First) - int64(is.First)) })
	j.runs[lane] = slices.Insert(j.runs[lane], i, is)
	return is
}

// holds reports whether a block is durable, and its content.
func (j *journal) holds(key blockKey) (digest, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	d, ok := j.digests[key]
	return d, ok
}

// of is what is known of a node.
func (j *journal) of(node int) *books {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b := j.books[node]; b != nil {
		return b
	}
	return newBooks()
}

// freshest is when the newest revenue was committed on a node that is held.
func (j *journal) freshest(node int) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.latest[node]
}
