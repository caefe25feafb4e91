// Command ghostlight-edgecore runs the reference venue node, or with role hub the
// regional hub. Its configuration is one YAML file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"ghostlight/edgecore"
	"ghostlight/internal/daemon"
)

const name = "ghostlight-edgecore"

// A venue node has little memory and much of it is others': garbage is collected
// early, and eagerly beyond the soft limit.
const (
	gcPercent   = 50
	memoryLimit = 24 << 20 // bytes of Go memory
)

func main() { os.Exit(daemon.Main(name, run)) }

func run(ctx context.Context) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	config := flags.String("config", "", "configuration `file`")
	version := flags.Bool("version", false, "print the version and exit")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Printf("usage: %s --config FILE | --version\n", name)
		return nil
	case err != nil:
		return fmt.Errorf("%w; usage: %s --config FILE | --version", err, name)
	case *version:
		fmt.Println(daemon.VersionString(name))
		return nil
	case *config == "" || flags.NArg() > 0:
		return fmt.Errorf("a configuration is needed: %s --config FILE", name)
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	cfg, err := edgecore.LoadConfig(*config)
	if err != nil {
		return err
	}
	app, err := edgecore.New(ctx, cfg, daemon.Logger(slog.LevelInfo))
	if err != nil {
		return err
	}
	return app.Run(ctx)
}
