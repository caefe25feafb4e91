package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"ghostlight/synthetics"
)

type journeyCmd struct {
	Run journeyRunCmd `cmd:"" help:"Run a journey once and print what each step came to."`
}

// journeyRunCmd runs one journey. Its exit status is 0 if the journey passed.
type journeyRunCmd struct {
	File string            `arg:"" help:"The journey's YAML file."`
	Base string            `help:"URL of the service: the variable base, and relay as its WebSocket address."`
	Var  map[string]string `help:"More variables of the journey, name=value."`
	JSON bool              `name:"json" help:"Print the result as one JSON object."`
}

func (c *journeyRunCmd) Run(ctx context.Context, out io.Writer) error {
	journey, err := synthetics.Load(c.File)
	if err != nil {
		return err
	}
	vars, err := c.vars()
	if err != nil {
		return err
	}
	runner, err := synthetics.NewRunner(synthetics.Options{Vars: vars})
	if err != nil {
		return err
	}
	result := runner.Run(ctx, journey)
	if c.JSON {
		err = json.NewEncoder(out).Encode(result)
	} else {
		_, err = io.WriteString(out, resultText(result))
	}
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	if !result.Pass {
		return fmt.Errorf("journey %s failed at step %q: %s", result.Journey, result.FailedStep, result.Error)
	}
	return nil
}

func (c *journeyRunCmd) vars() (map[string]string, error) {
	vars := map[string]string{}
	if c.Base != "" {
		u, err := url.Parse(c.Base)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("--base %q is not the URL of an HTTP service, such as http://127.0.0.1:8080", c.Base)
		}
		base := strings.TrimSuffix(c.Base, "/")
		vars["base"] = base
		vars["relay"] = "ws" + strings.TrimPrefix(base, "http") + "/v1/relay"
	}
	for name, value := range c.Var {
		vars[name] = value
	}
	return vars, nil
}

// resultText is a line for each step and one for the whole.
func resultText(r synthetics.Result) string {
	var b strings.Builder
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%s  %-20s %7.0f ms", mark(s.Pass), s.Name, s.DurationMS)
		if s.Status != 0 {
			fmt.Fprintf(&b, "  %d", s.Status)
		}
		if s.Error != "" {
			fmt.Fprintf(&b, "  %s", s.Error)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s  %-20s %7.0f ms\n", mark(r.Pass), r.Journey, r.DurationMS)
	return b.String()
}

func mark(pass bool) string {
	if pass {
		return "pass"
	}
	return "FAIL"
}
