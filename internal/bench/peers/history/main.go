// Command history writes blocks of Prometheus' store: what a server would hold that
// had scraped counters of bad and of all events for a while, and had recorded the
// error ratio of each over five minutes. It prints what it wrote as one line of JSON.
//
//	history --dir DIR --nodes 200 --objectives checkout,power --from 1790000000 --to 1792592000
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
		os.Exit(1)
	}
}

// printed is what the command prints.
type printed struct {
	Samples int `json:"samples"`
	Series  int `json:"series"`
	Blocks  int `json:"blocks"`
	// Counters are what a scrape at the end shows.
	Counters []reading `json:"counters"`
}

type reading struct {
	Series string `json:"series"` // as PromQL writes it
	Value  int64  `json:"value"`
}

func run() error {
	dir := flag.String("dir", "", "the store's folder")
	nodes := flag.Int("nodes", 1, "how many nodes there are")
	names := flag.String("objectives", "", "their names, with commas")
	from := flag.Int64("from", 0, "first sample, Unix seconds; whole minutes")
	to := flag.Int64("to", 0, "end of the samples, Unix seconds; whole minutes")
	seed := flag.Uint64("seed", 1, "of the events")
	flag.Parse()
	switch {
	case *dir == "" || *names == "":
		return errors.New("name the folder with --dir and objectives with --objectives")
	case *nodes < 1 || *from%60 != 0 || *to%60 != 0 || *from >= *to:
		return errors.New("at least one node, and whole minutes from --from to --to, are needed")
	}
	w := newWorld(strings.Split(*names, ","), *nodes, *seed)
	out := printed{Series: len(w.series())}
	for _, span := range blocks(*from, *to) {
		n, err := w.write(context.Background(), *dir, span)
		if err != nil {
			return fmt.Errorf("block of %s: %w", time.Unix(span.from, 0).UTC(), err)
		}
		out.Samples += n
		out.Blocks++
	}
	out.Counters = w.page()
	return json.NewEncoder(os.Stdout).Encode(out)
}

// A span is what one block covers, Unix seconds; to is not included.
type span struct{ from, to int64 }

// sizes are the lengths of blocks, longest first, as a server with a retention of
// some weeks compacts to: aligned to the epoch, each three times the next.
var sizes = []int64{54 * 3600, 18 * 3600, 6 * 3600, 2 * 3600}

// blocks divides time as a server has it that has compacted what it can.
func blocks(from, to int64) (out []span) {
	for from < to {
		end := to
		for _, size := range sizes {
			if e := from - from%size + size; e <= to {
				end = e
				break
			}
		}
		out = append(out, span{from, end})
		from = end
	}
	return out
}
