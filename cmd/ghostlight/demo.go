package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ghostlight/internal/demo"
)

// demoCmd runs the demo. Its exit status is 0 if everything added up.
type demoCmd struct {
	Venues   int           `default:"3" help:"Number of venues, 1 to 60."`
	Seed     uint64        `default:"1" help:"Seed of the crowd: what it wants to do depends on nothing else."`
	Duration time.Duration `help:"How long the demo runs, such as 150s. Without it: until Ctrl-C."`
	Scenario string        `default:"default" help:"What goes wrong: default, outage, none, or a file."`
	BasePort int           `default:"${base_port}" help:"First of the ports used; each venue takes ten more."`
	JSON     bool          `name:"json" help:"Print the summary as one JSON object on standard output."`
	Data     string        `type:"path" help:"Folder for all data; it is kept. Without it a temporary one, removed at the end."`
	Keep     bool          `help:"Keep the temporary data folder too."`

	Alertmanager string `placeholder:"URL" help:"An Alertmanager that pages go to as well, such as http://127.0.0.1:9093."`
}

func (c *demoCmd) Run(ctx context.Context, out io.Writer, tell console) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the folder of the programs: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return fmt.Errorf("find the folder of the programs: %w", err)
	}
	summary, err := demo.Run(ctx, demo.Options{
		Venues: c.Venues, Seed: c.Seed, Duration: c.Duration, Scenario: c.Scenario, BasePort: c.BasePort,
		Data: c.Data, Keep: c.Keep, Bin: filepath.Dir(exe), Tell: tell, Alertmanager: c.Alertmanager,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(out).Encode(summary)
	} else {
		_, err = io.WriteString(out, "\n"+summary.Text())
	}
	if err != nil {
		return fmt.Errorf("print the summary: %w", err)
	}
	if !summary.OK {
		return errors.New("the numbers of the demo do not add up; the sentences above say which")
	}
	return nil
}
