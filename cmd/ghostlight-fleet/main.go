// Command ghostlight-fleet is the centre: it takes what the nodes send, keeps it,
// and answers people, Grafana and reports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"ghostlight/fleet/app"
	"ghostlight/fleet/config"
	"ghostlight/internal/daemon"
)

const name = "ghostlight-fleet"

const usage = `usage: ghostlight-fleet --config FILE
       ghostlight-fleet validate FILE
       ghostlight-fleet --version
`

func main() { os.Exit(daemon.Main(name, run)) }

func run(ctx context.Context) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "", "")
	version := flags.Bool("version", false, "")
	err := flags.Parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return nil
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	case *version:
		fmt.Println(daemon.VersionString(name))
		return nil
	case flags.NArg() == 2 && flags.Arg(0) == "validate":
		if _, err := config.Load(flags.Arg(1)); err != nil {
			return err
		}
		fmt.Println(flags.Arg(1), "is valid")
		return nil
	case *file == "" || flags.NArg() > 0:
		return fmt.Errorf("name a configuration\n%s", usage)
	}
	cfg, err := config.Load(*file)
	if err != nil {
		return err
	}
	fleet, err := app.New(cfg, app.Options{Log: daemon.Logger(slog.LevelInfo)})
	if err != nil {
		return err
	}
	return fleet.Run(ctx)
}
