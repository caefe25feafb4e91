// Command ghostlight-agent watches one venue node: it collects, keeps, judges,
// heals and sends on.
//
//	ghostlight-agent --config agent.yaml
//	ghostlight-agent validate agent.yaml
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"ghostlight/collector/agent"
	"ghostlight/collector/config"
	"ghostlight/collector/page"
	"ghostlight/internal/daemon"
)

const name = "ghostlight-agent"

const usage = `usage: ghostlight-agent --config FILE
       ghostlight-agent validate FILE
       ghostlight-agent --version`

func main() {
	os.Exit(daemon.Main(name, func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) }))
}

// run does what the arguments ask for.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "validate" {
		return validate(ctx, args[1:], out)
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "", "the configuration file")
	version := flags.Bool("version", false, "print the version")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, usage)
		return nil
	case err != nil:
		return fmt.Errorf("%w\n%s", err, usage)
	case *version:
		fmt.Fprintln(out, daemon.VersionString(name))
		return nil
	case *file == "" || flags.NArg() > 0:
		return errors.New("name the configuration\n" + usage)
	}
	cfg, err := config.Load(*file)
	if err != nil {
		return err
	}
	a, err := agent.New(ctx, agent.Options{Config: cfg, Render: page.Render, Log: daemon.Logger(slog.LevelInfo)})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// validate prints ok, or fails with everything that is wrong with the file.
func validate(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("name one configuration file\n" + usage)
	}
	cfg, err := config.Load(args[0])
	if err == nil {
		err = agent.Check(ctx, cfg)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ok")
	return nil
}
