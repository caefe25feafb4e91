package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	agentconfig "ghostlight/collector/config"
	"ghostlight/synthetics"
)

type journeyCmd struct {
	Run journeyRunCmd `cmd:"" help:"Run a journey once and print what each step came to."`
}

// journeyRunCmd runs one journey. Its exit status is 0 if the journey passed.
//
// It never changes anything for real by accident: a journey that does more than
// read runs only with a synthetic key, or when --real says that it is meant.
type journeyRunCmd struct {
	File  string            `arg:"" help:"The journey's YAML file; with --agent also the name of one of the agent's journeys."`
	Agent string            `type:"existingfile" placeholder:"AGENT.YAML" help:"Run as this agent does: its service, its synthetic key, its name."`
	Base  string            `placeholder:"URL" help:"URL of the service: the variable base, and relay as its WebSocket address."`
	Var   map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"A further variable of the journey; may be repeated."`
	Key   string            `name:"synthetic-key" placeholder:"KEY" env:"GHOSTLIGHT_SYNTHETIC_KEY" help:"Key of the service, at least 32 characters, that signs every request as synthetic, so that nothing of it counts as a sale."`
	Real  bool              `help:"Run without a key even if the journey changes things: what it sells is then really sold."`
	JSON  bool              `name:"json" help:"Print the result as one JSON object."`
}

// cliIssuer is who a claim comes from when no agent lends its name.
const cliIssuer = "ghostlight-cli"

// journeyPlan is what a run needs to know.
type journeyPlan struct {
	journey synthetics.Journey
	vars    map[string]string
	key     string
	issuer  string
}

func (c *journeyRunCmd) Run(ctx context.Context, out io.Writer) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	o := synthetics.Options{Vars: plan.vars}
	if plan.key != "" {
		o.Claim = func(journey string) (string, error) {
			return synthetics.Claim([]byte(plan.key), plan.issuer, journey, time.Now())
		}
	} else if step, how, changes := firstChange(plan.journey); changes && !c.Real {
		return fmt.Errorf("journey %s changes things at step %q (%s), and without a synthetic key that would be real: give --synthetic-key or --agent, or --real if it is meant", plan.journey.Name, step, how)
	}
	runner, err := synthetics.NewRunner(o)
	if err != nil {
		return err
	}
	defer runner.Close()
	if err := runner.Check(plan.journey); err != nil {
		return fmt.Errorf("%w; give --base, --agent or --var", err)
	}
	result := runner.Run(ctx, plan.journey)
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

// plan reads the journey and everything around it. What the command line says
// wins over what the agent's file says.
func (c *journeyRunCmd) plan() (journeyPlan, error) {
	p := journeyPlan{key: c.Key, issuer: cliIssuer, vars: map[string]string{}}
	if p.key != "" && len(p.key) < synthetics.MinClaimKey {
		return p, fmt.Errorf("--synthetic-key has %d characters; at least %d are needed", len(p.key), synthetics.MinClaimKey)
	}
	var known []synthetics.Journey
	if c.Agent != "" {
		agent, err := agentconfig.Load(c.Agent)
		if err != nil {
			return p, err
		}
		known, p.issuer = agent.AllJourneys(), agent.Node.Source().String()
		for name, value := range agent.Vars() {
			p.vars[name] = value
		}
		if agent.Edgecore != nil && p.key == "" {
			p.key = agent.Edgecore.SyntheticKey
		}
	}
	if err := c.addVars(p.vars); err != nil {
		return p, err
	}
	var err error
	p.journey, err = findJourney(c.File, known)
	return p, err
}

// findJourney reads a file or, where there is none of that name, takes a journey
// that is known.
func findJourney(name string, known []synthetics.Journey) (synthetics.Journey, error) {
	journey, err := synthetics.Load(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return journey, err
	}
	var names []string
	for _, j := range known {
		if j.Name == name {
			return j, nil
		}
		names = append(names, j.Name)
	}
	if len(names) > 0 {
		return journey, fmt.Errorf("%w, and the agent has no journey of that name; it has: %s", err, strings.Join(names, ", "))
	}
	return journey, err
}

// addVars adds the variables of the command line.
func (c *journeyRunCmd) addVars(vars map[string]string) error {
	if c.Base != "" {
		u, err := url.Parse(c.Base)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("--base %q is not the URL of an HTTP service, such as http://127.0.0.1:8080", c.Base)
		}
		base := strings.TrimSuffix(c.Base, "/")
		vars["base"] = base
		vars["relay"] = "ws" + strings.TrimPrefix(base, "http") + "/v1/relay"
	}
	for name, value := range c.Var {
		vars[name] = value
	}
	return nil
}

// firstChange is the first step that does more than read.
func firstChange(j synthetics.Journey) (step, how string, changes bool) {
	for _, s := range j.Steps {
		switch {
		case s.WebSocket != nil:
			return s.Name, "a WebSocket", true
		case s.Request == nil:
		case s.Request.Method == "" && (s.Request.JSON != nil || s.Request.Body != ""):
			return s.Name, http.MethodPost, true
		default:
			switch m := strings.ToUpper(s.Request.Method); m {
			case "", http.MethodGet, http.MethodHead, http.MethodOptions:
			default:
				return s.Name, m, true
			}
		}
	}
	return "", "", false
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
