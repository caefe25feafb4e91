package queue

import "ghostlight/buffer"

// A generation numbers the openings of a folder, from 1. It orders sessions,
// which are random.
type generation uint64

const (
	seqBits        = 40
	generationBits = 20
	maxSeq         = buffer.Seq(1)<<seqBits - 1
	maxGeneration  = generation(1)<<generationBits - 1
)

// A key is a block's place in its file: lane, generation and sequence in one
// integer, the table's primary key. One B-tree so answers all three questions:
// the newest of a lane, the oldest of a lane, and a range of one session.
type key int64

func makeKey(lane buffer.Lane, gen generation, seq buffer.Seq) key {
	return key(uint64(lane)<<(generationBits+seqBits) | uint64(gen)<<seqBits | uint64(seq))
}

func (k key) lane() buffer.Lane { return buffer.Lane(uint64(k) >> (generationBits + seqBits)) }
func (k key) gen() generation   { return generation(uint64(k)>>seqBits) & maxGeneration }
func (k key) seq() buffer.Seq   { return buffer.Seq(uint64(k)) & maxSeq }

// laneBounds are the smallest and the largest key of a lane.
func laneBounds(lane buffer.Lane) (lo, hi key) {
	return makeKey(lane, 0, 0), makeKey(lane, maxGeneration, maxSeq)
}
