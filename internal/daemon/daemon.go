// Package daemon is what every Ghostlight program does alike: it turns signals
// and the lifeline into a cancelled context, locks its data folder, listens with
// errors a person can act on, and says its version.
//
// It never exits the process except when a second signal asks for it: the first
// is a request to stop well, the second always ends the program.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// LifelineEnv names the environment variable that holds the number of an
// inherited pipe. When the pipe closes, because its owner stopped or died, the
// program stops as if it had received SIGTERM.
const LifelineEnv = "LIFELINE_FD"

// exitInterrupted is what shells expect of a program ended by SIGINT.
const exitInterrupted = 130

// Main runs a program until it returns, SIGINT or SIGTERM arrives, or its
// lifeline closes, and returns the process's exit status. An error is printed as
// one sentence on standard error and makes the status 1; being asked to stop is
// not an error.
func Main(name string, run func(ctx context.Context) error) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	if err := followLifeline(os.Getenv(LifelineEnv), cancel); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}

	err := run(ctx)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// followLifeline calls stop once the pipe with the given descriptor number
// closes. An empty number means that there is none.
func followLifeline(number string, stop func()) error {
	if number == "" {
		return nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 3 {
		return fmt.Errorf("%s=%q is not the number of an inherited pipe", LifelineEnv, number)
	}
	syscall.CloseOnExec(fd)
	pipe := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		defer pipe.Close()
		io.Copy(io.Discard, pipe) //nolint:errcheck // any end of the pipe is the end
		stop()
	}()
	return nil
}

// Logger returns the structured log every program writes to standard error.
func Logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
