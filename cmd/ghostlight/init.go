package main

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"ghostlight/buffer"
)

//go:embed templates/fleet.yaml
var fleetTemplate string

//go:embed templates/agent.yaml
var agentTemplate string

// initCmd writes fleet.yaml and agent.yaml; it never overwrites a file.
type initCmd struct {
	Dir         string `arg:"" type:"path" help:"Folder for the two files and their data; made if need be."`
	Service     string `default:"http://127.0.0.1:8080" help:"URL of the HTTP service to watch."`
	Region      string `default:"home" help:"Name of the region."`
	Venue       string `default:"main" help:"Name of the venue."`
	Node        string `default:"node-1" help:"Name of the node."`
	FleetListen string `default:"127.0.0.1:7600" help:"Address of the fleet."`
	PageListen  string `default:"127.0.0.1:7500" help:"Address of the node's own page."`
	OTLPGRPC    string `name:"otlp-grpc" default:"127.0.0.1:4317" help:"Address for OTLP over gRPC."`
	OTLPHTTP    string `name:"otlp-http" default:"127.0.0.1:4318" help:"Address for OTLP over HTTP."`
}

func (c *initCmd) Run(out io.Writer) error {
	u, err := url.Parse(c.Service)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("--service %q is not the URL of an HTTP service, such as http://127.0.0.1:8080", c.Service)
	}
	c.Service = strings.TrimSuffix(c.Service, "/")
	source := buffer.Source{Region: c.Region, Venue: c.Venue, Node: c.Node}
	if err := source.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	values := struct {
		*initCmd
		Token, APIToken string
	}{c, rand.Text(), rand.Text()}
	for name, text := range map[string]string{"fleet.yaml": fleetTemplate, "agent.yaml": agentTemplate} {
		if err := render(filepath.Join(c.Dir, name), text, values); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, `Wrote %[1]s/fleet.yaml and %[1]s/agent.yaml. Start the two programs:

    %[4]s-fleet --config %[1]s/fleet.yaml
    %[4]s-agent --config %[1]s/agent.yaml

Then open http://%[2]s/ for the fleet and http://%[3]s/ for the node.
`, c.Dir, c.FleetListen, c.PageListen, sibling())
	return err
}

// sibling is how this program was called: the others lie beside it.
func sibling() string {
	if called := os.Args[0]; filepath.Base(called) == "ghostlight" {
		return called
	}
	return "ghostlight"
}

// render writes a template to a new file, readable by its owner alone: it holds
// a token.
func render(path, text string, values any) error {
	t, err := template.New(filepath.Base(path)).Funcs(template.FuncMap{"quote": strconv.Quote, "join": filepath.Join}).Parse(text)
	if err != nil {
		return fmt.Errorf("template of %s: %w", filepath.Base(path), err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, values); err != nil {
		return fmt.Errorf("template of %s: %w", filepath.Base(path), err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: remove it, or name another folder", path)
	}
	if err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}
