package main

import (
	"fmt"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/internal/dataset"
)

// backlogScrapes is how many scrapes a node merges into one block of a backlog.
const backlogScrapes = 16

// measureCatchUp replays the set as sent by a node that was offline during all of
// it but the last tenth: fresh blocks as ever, and the backlog between them, merged
// and newest first. All frames count, the first with its dictionary among them.
func (m *measured) measureCatchUp(codec *delta.Codec, set *dataset.Set, fresh []delta.Batch) error {
	fresh = fresh[len(fresh)-max(len(fresh)/10, 1):]
	lo, _ := fresh[0].TimeRange()
	backlog := backlogOf(set, lo)
	enc, dec := delta.NewEncoder(codec), delta.NewDecoder(codec)
	send := func(at delta.Stamp, b delta.Batch) error {
		frame, err := enc.Encode(nil, at, b)
		if err != nil {
			return fmt.Errorf("block %d of a backlog: %w", at.Seq, err)
		}
		_, got, err := dec.Decode(frame)
		if err != nil {
			return fmt.Errorf("block %d of a backlog: %w", at.Seq, err)
		}
		m.BytesCatchUp += len(frame) + lengthBytes(len(frame))
		m.Lossless = m.Lossless && sameBatches([]delta.Batch{b}, []delta.Batch{got})
		dec.Recycle()
		return nil
	}
	at := delta.Stamp{Lane: buffer.Detail, Session: measureSession}
	next, last := buffer.Seq(len(set.Scrapes)+1), buffer.Seq(len(set.Scrapes))
	sent := 0
	for i, b := range fresh {
		at.First, at.Seq = 0, next
		next++
		if err := send(at, b); err != nil {
			return err
		}
		for ; sent < len(backlog)*(i+1)/len(fresh); sent++ {
			at.First, at.Seq = max(last, backlogScrapes)-backlogScrapes+1, last
			last = at.First - 1
			if err := send(at, backlog[sent]); err != nil {
				return err
			}
		}
	}
	m.PerSampleCatchUp = float64(m.BytesCatchUp) / float64(m.Samples)
	return nil
}

// backlogOf merges the scrapes before a time, newest first.
func backlogOf(set *dataset.Set, before int64) []delta.Batch {
	end := 0
	for end < len(set.Scrapes) && set.Scrapes[end].Time < before {
		end++
	}
	var out []delta.Batch
	for ; end > 0; end -= min(end, backlogScrapes) {
		out = append(out, set.Batch(set.Scrapes[max(0, end-backlogScrapes):end]))
	}
	return out
}
