package queue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// The test binary is the victim of sweeps over system calls as well: with this
// set it appends a few blocks, tells what became of each, and ends.
const (
	sweepDir = "GHOSTLIGHT_QUEUE_SWEEP_DIR"
	// sweepLimit bounds the size of every file it writes, in bytes.
	sweepLimit = "GHOSTLIGHT_QUEUE_SWEEP_LIMIT"
	// sweepOpen only opens the buffer and closes it.
	sweepOpen = "GHOSTLIGHT_QUEUE_SWEEP_OPEN"
)

// exitUnopened is the victim's status when the buffer could not be opened.
const exitUnopened = 3

// sweepAppends is how many commits a victim makes in each of its two halves.
const sweepAppends = 10

// appendSome fills a budget that is too small for all logs. It prints "kept NAME" for each block that was acknowledged, "refused
// NAME" for each that was not, "gone NAME" before it acknowledges one, and at last
// "refused-samples N". All its writes come from one thread, so that a sweep over
// that thread's calls meets every one of them.
func appendSome(dir string) (status int) {
	runtime.LockOSThread()
	if text := os.Getenv(sweepLimit); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err == nil {
			err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	ctx := context.Background()
	q, err := queue.Open(ctx, queue.Options{Dir: dir, DiskBudget: queue.MinDiskBudget, RevenueReserve: 64 << 10, Now: (&clock{t: time.Now()}).hasty})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUnopened
	}
	if os.Getenv(sweepOpen) == "" {
		appendHalf(ctx, q, "a")
		mergeAll(ctx, q)
		takeSome(ctx, q, 4)
		appendHalf(ctx, q, "b")
		mergeAll(ctx, q)
	}
	refused := int64(0)
	for _, s := range q.Stats() {
		refused += s.Refused
	}
	fmt.Printf("refused-samples %d\nend\n", refused)
	if err := q.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 0
}

func appendHalf(ctx context.Context, q *queue.Queue, half string) {
	for i := range sweepAppends {
		name := fmt.Sprintf("%s%d_%d", half, q.Session(), i)
		err := q.Append(ctx, queue.Commit{
			Entries: []queue.Entry{entry(buffer.Revenue, name+"_r", 1), entry(buffer.Detail, name+"_d", 1), logs(24_000)},
			State:   map[string][]byte{"cursor": []byte(name)},
		})
		var partial *queue.PartialError
		switch {
		case err == nil:
			fmt.Printf("kept %s_r\nkept %s_d\n", name, name)
		case errors.As(err, &partial):
			fmt.Printf("kept %s_r\nrefused %s_d\n", name, name)
		default:
			fmt.Printf("refused %s_r\nrefused %s_d\n", name, name)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// mergeAll merges what was not sent, once it is old enough.
func mergeAll(ctx context.Context, q *queue.Queue) {
	if _, err := q.Tidy(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// takeSome acknowledges a few blocks, as the fleet would.
func takeSome(ctx context.Context, q *queue.Queue, n int) {
	blocks, err := q.Next(ctx, n, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	for _, b := range blocks {
		names, err := metricsOf(b)
		for _, name := range names {
			fmt.Printf("gone %s\n", name)
		}
		if err == nil {
			err = q.Ack(ctx, wire.Ack{Session: b.Session, Lane: b.Lane, Ranges: []wire.Range{{First: b.First, Last: b.Seq}}})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
