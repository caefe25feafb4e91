// Command encode replays a data set through the encoders of other senders and
// prints what each makes of it, as JSON lines: bytes as they would travel and the
// processor time that it took. What was encoded is decoded again and counted.
//
//	encode --set FILE.tsv.gz --block 15s
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// A sender turns blocks of scrapes into messages as one peer does.
type sender interface {
	// prepare does what its collector has done before it encodes.
	prepare(set *dataSet, blocks [][]scrape)
	// encode returns the bytes of all messages.
	encode() (messages [][]byte, err error)
	// count decodes the messages and counts samples, as Prometheus counts them.
	count(messages [][]byte) (int, error)
}

// result is one line of what is printed.
type result struct {
	Sender    string  `json:"sender"`
	Samples   int     `json:"samples"`
	Messages  int     `json:"messages"`
	Bytes     int     `json:"bytes"`
	PerSample float64 `json:"bytes_per_sample"`
	EncodeNS  float64 `json:"encode_ns_per_sample"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "encode:", err)
		os.Exit(1)
	}
}

func run() error {
	file := flag.String("set", "", "the data set")
	block := flag.Duration("block", 15*time.Second, "time that one message covers")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	set, err := read(*file)
	if err != nil {
		return err
	}
	blocks := set.blocks(*block)
	for _, s := range []struct {
		name string
		sender
	}{
		{"Prometheus remote write 1", &remoteWrite1{}},
		{"Prometheus remote write 2", &remoteWrite2{}},
		{"OTLP, zstd", &otlp{}},
		{"OTel Arrow, zstd of columns", &arrow{columns: true}},
		{"OTel Arrow, zstd of messages", &arrow{}},
	} {
		r := result{Sender: s.name, Samples: set.samples}
		s.prepare(set, blocks)
		runtime.GC()
		begin := cpu()
		messages, err := s.encode()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r.EncodeNS = float64((cpu() - begin).Nanoseconds()) / float64(set.samples)
		for _, m := range messages {
			r.Bytes += len(m)
		}
		r.Messages, r.PerSample = len(messages), float64(r.Bytes)/float64(set.samples)
		if n, err := s.count(messages); err != nil || n != set.samples {
			return fmt.Errorf("%s: decoded %d of %d samples: %w", s.name, n, set.samples, err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// cpu is what this process has used, its garbage collector included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
