package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"syscall"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/internal/dataset"
)

type deltaCmd struct {
	Measure  deltaMeasureCmd  `cmd:"" help:"Replay a data set through the codec and print what it costs."`
	Generate deltaGenerateCmd `cmd:"" help:"Write a data set of an invented venue node."`
}

// deltaMeasureCmd replays a file as a node would send and store it.
type deltaMeasureCmd struct {
	File  string        `arg:"" type:"existingfile" help:"Data set: gzip, tab separated, S lines that declare series and V lines with their samples."`
	Block time.Duration `default:"15s" help:"Time that one block covers, at least one scrape."`
	JSON  bool          `name:"json" help:"Print one JSON object."`
	Dump  string        `placeholder:"FILE" help:"Write what was decoded here, in the format of the data set."`
}

// measured is the result. Bytes online are all frames with their lengths, the
// first with its dictionary among them; bytes at rest are sealed blocks and pages
// of the dictionary; bytes of catching up are those of measureCatchUp.
type measured struct {
	Samples          int     `json:"samples"`
	Blocks           int     `json:"blocks"`
	Series           int     `json:"series"`
	BytesOnline      int     `json:"bytes_online"`
	PerSampleOnline  float64 `json:"bytes_per_sample_online"`
	BytesAtRest      int     `json:"bytes_at_rest"`
	PerSampleAtRest  float64 `json:"bytes_per_sample_at_rest"`
	BytesCatchUp     int     `json:"bytes_catchup"`
	PerSampleCatchUp float64 `json:"bytes_per_sample_catchup"`
	EncodeNS         float64 `json:"encode_ns_per_sample"` // CPU, for the stream and at rest together
	DecodeNS         float64 `json:"decode_ns_per_sample"` // CPU, of the stream
	DecodeAtRestNS   float64 `json:"decode_at_rest_ns_per_sample"`
	DecoderState     int64   `json:"decoder_state_bytes"` // between frames, compacted
	Lossless         bool    `json:"lossless"`
}

func (c *deltaMeasureCmd) Run(out io.Writer) error {
	if c.Block <= 0 {
		return fmt.Errorf("--block is %s; it must be positive", c.Block)
	}
	set, err := dataset.Read(c.File)
	if err != nil {
		return err
	}
	m, decoded, err := measure(set, c.Block)
	if err != nil {
		return fmt.Errorf("replay %s: %w", c.File, err)
	}
	if c.Dump != "" {
		if err := dump(c.Dump, set, decoded); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(m)
	}
	_, err = fmt.Fprintf(out, "%d samples of %d series in %d blocks of %s\nonline   %.3f bytes a sample, %d in all\nat rest  %.3f bytes a sample, %d in all\ncatch-up %.3f bytes a sample, %d in all\nencode   %.0f ns a sample for both, decode %.0f ns online, %.0f ns at rest\nlossless %t\n",
		m.Samples, m.Series, m.Blocks, c.Block, m.PerSampleOnline, m.BytesOnline, m.PerSampleAtRest, m.BytesAtRest, m.PerSampleCatchUp, m.BytesCatchUp, m.EncodeNS, m.DecodeNS, m.DecodeAtRestNS, m.Lossless)
	if err != nil {
		return fmt.Errorf("print what was measured: %w", err)
	}
	return nil
}

// measureSession is any session.
const measureSession = 0x0123456789abcdef

// measure replays the set in blocks and returns what came out of the stream.
func measure(set *dataset.Set, block time.Duration) (m measured, decoded []delta.Batch, err error) {
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		return m, nil, err
	}
	batches := set.Blocks(block)
	m.Samples, m.Blocks, m.Series = set.Samples, len(batches), len(set.Series)
	enc, dict := delta.NewEncoder(codec), delta.NewDict(codec, 1)
	frames, rest := make([][]byte, len(batches)), make([][]byte, len(batches))
	var pages [][]byte
	var buf []byte
	begin := cpuTime()
	for i, b := range batches {
		buf, err = enc.Encode(buf[:0], delta.Stamp{Lane: buffer.Detail, Session: measureSession, Seq: buffer.Seq(i + 1)}, b)
		if err != nil {
			return m, nil, fmt.Errorf("block %d online: %w", i+1, err)
		}
		frames[i] = slices.Clone(buf)
		var page *delta.Page
		buf, page, err = dict.Encode(buf[:0], b)
		if err != nil {
			return m, nil, fmt.Errorf("block %d at rest: %w", i+1, err)
		}
		rest[i] = slices.Clone(buf)
		if page != nil {
			pages = append(pages, page.Data)
		}
	}
	m.EncodeNS = perSample(cpuTime()-begin, m.Samples)
	for i := range batches {
		m.BytesOnline += len(frames[i]) + lengthBytes(len(frames[i]))
		m.BytesAtRest += buffer.HeaderSize + len(rest[i])
	}
	for _, p := range pages {
		m.BytesAtRest += len(p)
	}
	m.PerSampleOnline = float64(m.BytesOnline) / float64(m.Samples)
	m.PerSampleAtRest = float64(m.BytesAtRest) / float64(m.Samples)
	decoded, err = m.decode(codec, frames, rest, pages)
	if err != nil {
		return m, nil, err
	}
	m.Lossless = sameBatches(batches, decoded)
	return m, decoded, m.measureCatchUp(codec, set, batches)
}

// decode reads everything back, the stream and what is at rest, and requires
// both to agree.
func (m *measured) decode(codec *delta.Codec, frames, rest, pages [][]byte) ([]delta.Batch, error) {
	online, atRest := make([]delta.Batch, len(frames)), make([]delta.Batch, len(rest))
	dec := delta.NewDecoder(codec)
	var err error
	for i, f := range frames {
		if _, online[i], err = dec.Decode(f); err != nil {
			return nil, fmt.Errorf("block %d online: %w", i+1, err)
		}
	}
	// Once more for the time, as the centre does it: block after block, none kept.
	dec = delta.NewDecoder(codec)
	begin := cpuTime()
	for i, f := range frames {
		if _, _, err = dec.Decode(f); err != nil {
			return nil, fmt.Errorf("block %d online, once more: %w", i+1, err)
		}
		dec.Recycle()
	}
	m.DecodeNS = perSample(cpuTime()-begin, m.Samples)
	dec.Compact()
	m.DecoderState = dec.StateBytes()
	dict := delta.NewDict(codec, 1)
	for i, p := range pages {
		if err := dict.Add(p); err != nil {
			return nil, fmt.Errorf("page %d: %w", i+1, err)
		}
	}
	begin = cpuTime()
	for i, p := range rest {
		if atRest[i], err = dict.Decode(p); err != nil {
			return nil, fmt.Errorf("block %d at rest: %w", i+1, err)
		}
	}
	m.DecodeAtRestNS = perSample(cpuTime()-begin, m.Samples)
	if !sameBatches(online, atRest) {
		return nil, fmt.Errorf("stream and blocks at rest decode differently")
	}
	return online, nil
}

// sameBatches compares to the bit.
func sameBatches(a, b []delta.Batch) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i].Series) != len(b[i].Series) {
			return false
		}
		for j := range a[i].Series {
			if !sameSeries(&a[i].Series[j], &b[i].Series[j]) {
				return false
			}
		}
	}
	return true
}

func sameSeries(a, b *delta.Series) bool {
	if a.Meta != b.Meta || len(a.Labels) != len(b.Labels) || len(a.Samples) != len(b.Samples) {
		return false
	}
	for i := range a.Labels {
		if a.Labels[i] != b.Labels[i] {
			return false
		}
	}
	for i := range a.Samples {
		if a.Samples[i].Time != b.Samples[i].Time || math.Float64bits(a.Samples[i].Value) != math.Float64bits(b.Samples[i].Value) {
			return false
		}
	}
	return true
}

// lengthBytes is what a length before a frame takes, as a varint.
func lengthBytes(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func perSample(d time.Duration, samples int) float64 {
	return math.Round(float64(d.Nanoseconds())/float64(max(samples, 1))*10) / 10
}

// cpuTime is what this process has used so far, in user and system mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// dump writes the data set anew from what was decoded.
func dump(path string, set *dataset.Set, decoded []delta.Batch) error {
	var b bytes.Buffer
	if err := set.Write(&b, decoded); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return nil
}
