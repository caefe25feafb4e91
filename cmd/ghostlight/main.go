// Command ghostlight is the program for people: it runs the demo, writes the
// first configuration, runs journeys, checks and explains objectives and looks at
// nodes. It serves nothing itself.
package main

import (
	"context"
	"io"
	"os"
	"strconv"

	"github.com/alecthomas/kong"

	"ghostlight/internal/daemon"
	"ghostlight/internal/demo"
)

// cli is the command line; each verb has a file of its own.
type cli struct {
	Demo    demoCmd    `cmd:"" help:"Run live venues and the centre on this machine, with a crowd and faults."`
	Init    initCmd    `cmd:"" help:"Write the two configuration files that watch your own HTTP service."`
	Journey journeyCmd `cmd:"" help:"Work with journeys: scripted visits that prove a service works."`
	Delta   deltaCmd   `cmd:"" help:"Work with the codec."`
	SLO     sloCmd     `cmd:"" name:"slo" help:"Work with objectives: what is promised, and how it is kept."`
	Node    nodeCmd    `cmd:"" help:"Look at a venue's node."`
	Version versionCmd `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

func options(out, errOut io.Writer) []kong.Option {
	return []kong.Option{
		kong.Name("ghostlight"),
		kong.Description("Watches the edge nodes of live venues, and keeps watching while their uplink is down."),
		kong.Vars{"version": daemon.VersionString("ghostlight"), "base_port": strconv.Itoa(demo.DefaultBasePort)},
		kong.UsageOnError(),
		kong.Writers(out, errOut),
		kong.BindTo(out, (*io.Writer)(nil)),
		kong.Bind(console{errOut}),
	}
}

// console is where what is not a verb's result goes.
type console struct{ io.Writer }

func main() {
	line := kong.Parse(&cli{}, options(os.Stdout, os.Stderr)...)
	os.Exit(daemon.Main("ghostlight", func(ctx context.Context) error {
		line.BindTo(ctx, (*context.Context)(nil))
		return line.Run()
	}))
}
