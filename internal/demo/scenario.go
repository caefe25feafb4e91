package demo

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"ghostlight/internal/strictyaml"
	"ghostlight/internal/uplink"
)

//go:embed scenarios/*.yaml
var scenarios embed.FS

// A Scenario is what goes wrong during a demo, and when. Times count from the
// start of the event.
type Scenario struct {
	// Name is how the demo calls it.
	Name string `yaml:"name"`
	// Duration is how long the demo runs with it when it is not told otherwise; at least the end of the last step.
	Duration strictyaml.Duration `yaml:"duration"`
	// Steps are the faults, in any order.
	Steps []Step `yaml:"steps"`
}

// A Step is one fault.
type Step struct {
	// At is when it happens.
	At strictyaml.Duration `yaml:"at"`
	// Venue is where, by name; every step has one but kill-fleet and end-event.
	Venue string `yaml:"venue"`
	// Do is what happens: kill, hang, corrupt, cut, delay, throttle, half-open, duplicate, reorder, kill-agent, kill-fleet or end-event.
	Do string `yaml:"do"`
	// For is how long a fault of the uplink lasts; the others are done at once.
	For strictyaml.Duration `yaml:"for"`
	// Route restricts a fault of the uplink to one way out, fleet or hub; without it both are hit.
	Route string `yaml:"route"`
	// Objects is how many cached objects corrupt damages; default 3.
	Objects int `yaml:"objects"`
	// Delay is how much later every byte arrives, each way (do: delay).
	Delay strictyaml.Duration `yaml:"delay"`
	// Rate is the bytes a second each way of a connection (do: throttle).
	Rate strictyaml.Bytes `yaml:"rate"`
	// Every says which requests are hit: 1 all, 2 every second one (do: duplicate, reorder); default 1.
	Every int `yaml:"every"`
	// Hold is the longest a request waits for a later one (do: reorder); default 2s.
	Hold strictyaml.Duration `yaml:"hold"`
}

// What a step may do besides the faults of the uplink.
const (
	doKill      = "kill"       // SIGKILL to the venue's edgecore
	doHang      = "hang"       // SIGSTOP to the venue's edgecore
	doCorrupt   = "corrupt"    // bytes of objects in the venue's cache are flipped on disk
	doKillAgent = "kill-agent" // SIGKILL to the venue's agent
	doKillFleet = "kill-fleet" // SIGKILL to the fleet
	doEndEvent  = "end-event"  // the crowd leaves, the event ends, its report is made
)

const (
	defaultObjects = 3
	defaultHold    = 2 * time.Second
	maxSteps       = 1000
	maxDuration    = 24 * time.Hour
)

// actions lists what a step may do, with the parameters that belong to it.
func actions() map[string][]string {
	return map[string][]string{
		doKill: nil, doHang: nil, doKillAgent: nil, doKillFleet: nil, doEndEvent: nil,
		doCorrupt:                {"objects"},
		string(uplink.Cut):       {"for", "route"},
		string(uplink.HalfOpen):  {"for", "route"},
		string(uplink.Delay):     {"for", "route", "delay"},
		string(uplink.Throttle):  {"for", "route", "rate"},
		string(uplink.Duplicate): {"for", "route", "every"},
		string(uplink.Reorder):   {"for", "route", "every", "hold"},
	}
}

// LoadScenario reads the scenario of a demo: "default" and "outage" are built
// in, "none" is empty, anything else is a file.
func LoadScenario(name string) (Scenario, error) {
	switch name {
	case "none":
		return Scenario{Name: "none"}, nil
	case "default", "outage":
		data, err := scenarios.ReadFile("scenarios/" + name + ".yaml")
		if err != nil {
			return Scenario{}, fmt.Errorf("built-in scenario %s: %w", name, err)
		}
		return DecodeScenario(name+".yaml", data)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario %w; built in are default, outage and none", err)
	}
	return DecodeScenario(name, data)
}

// DecodeScenario reads one scenario, strictly; the steps come back in the order
// they happen. name stands for the file in errors.
func DecodeScenario(name string, data []byte) (Scenario, error) {
	var s Scenario
	if err := strictyaml.Decode(name, data, &s); err != nil {
		return Scenario{}, fmt.Errorf("scenario %w", err)
	}
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return s, nil
}

// Validate implements the check that reading a scenario runs.
func (s *Scenario) Validate() error {
	var errs []error
	if len(s.Steps) > maxSteps {
		errs = append(errs, strictyaml.Fieldf("steps", "has %d steps: at most %d", len(s.Steps), maxSteps))
	}
	ends := 0
	for i := range s.Steps {
		errs = append(errs, strictyaml.Under(fmt.Sprintf("steps[%d]", i), s.Steps[i].validate()))
		if s.Steps[i].Do == doEndEvent {
			ends++
		}
	}
	if ends > 1 {
		errs = append(errs, strictyaml.Fieldf("steps", "has end-event %d times: at most once", ends))
	}
	switch {
	case s.Duration < 0 || s.Duration.D() > maxDuration:
		errs = append(errs, strictyaml.Fieldf("duration", "is out of range: 1s to %v", maxDuration))
	case s.Duration == 0:
		errs = append(errs, strictyaml.Fieldf("duration", "is missing: say how long the demo runs, such as 150s"))
	case s.Duration.D() < s.End():
		errs = append(errs, strictyaml.Fieldf("duration", "is %v, but the last step ends at %v", s.Duration, s.End()))
	}
	return errors.Join(errs...)
}

func (p Step) validate() error {
	allowed, known := actions()[p.Do]
	if !known {
		names := make([]string, 0, len(actions()))
		for name := range actions() {
			names = append(names, name)
		}
		slices.Sort(names)
		return strictyaml.Fieldf("do", "is %q; allowed: %s", p.Do, strings.Join(names, ", "))
	}
	var errs []error
	for name, given := range map[string]bool{
		"for": p.For != 0, "route": p.Route != "", "objects": p.Objects != 0, "delay": p.Delay != 0,
		"rate": p.Rate != 0, "every": p.Every != 0, "hold": p.Hold != 0,
	} {
		if given && !slices.Contains(allowed, name) {
			errs = append(errs, strictyaml.Fieldf(name, "does not belong to %s", p.Do))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if p.At < 0 || p.At.D() > maxDuration {
		errs = append(errs, strictyaml.Fieldf("at", "is out of range: 0s to %v", maxDuration))
	}
	central := p.Do == doKillFleet || p.Do == doEndEvent
	if central && p.Venue != "" {
		errs = append(errs, strictyaml.Fieldf("venue", "does not belong to %s", p.Do))
	}
	if !central && p.Venue == "" {
		errs = append(errs, strictyaml.Fieldf("venue", "is missing: name the venue, such as soho"))
	}
	if p.Objects < 0 {
		errs = append(errs, strictyaml.Fieldf("objects", "is %d: at least 1", p.Objects))
	}
	if f, ok := p.fault(); ok {
		errs = append(errs, p.validateFault(f))
	}
	return errors.Join(errs...)
}

func (p Step) validateFault(f uplink.Fault) error {
	switch {
	case p.For <= 0 || p.For.D() > maxDuration:
		return strictyaml.Fieldf("for", "is missing or out of range: say how long %s lasts, such as 60s", p.Do)
	case p.Route != "" && p.Route != routeFleet && p.Route != routeHub:
		return strictyaml.Fieldf("route", "is %q; allowed: %s, %s", p.Route, routeFleet, routeHub)
	case p.Do == string(uplink.Delay) && (p.Delay <= 0 || p.Delay.D() > uplink.MaxDelay):
		return strictyaml.Fieldf("delay", "is missing or out of range: above 0s, at most %v", uplink.MaxDelay)
	case p.Do == string(uplink.Throttle) && p.Rate < 1:
		return strictyaml.Fieldf("rate", "is missing: bytes a second, such as 4KiB")
	case p.Every < 0 || p.Every > uplink.MaxEvery:
		return strictyaml.Fieldf("every", "is %d: 1 to %d", p.Every, uplink.MaxEvery)
	case p.Hold < 0 || p.Hold.D() > uplink.MaxDelay:
		return strictyaml.Fieldf("hold", "is out of range: above 0s, at most %v", uplink.MaxDelay)
	}
	if err := f.Validate(); err != nil {
		return strictyaml.Fieldf("do", "cannot be done: %v", err)
	}
	return nil
}

// fault is the step as a fault of the uplink, if it is one.
func (p Step) fault() (uplink.Fault, bool) {
	if !slices.Contains(uplink.Kinds(), uplink.Kind(p.Do)) {
		return uplink.Fault{}, false
	}
	f := uplink.Fault{Kind: uplink.Kind(p.Do), For: p.For.D(), Delay: p.Delay.D(), BytesPerSecond: int64(p.Rate), Every: p.Every, Hold: p.Hold.D()}
	if p.Route != "" {
		f.Routes = []string{p.Route}
	}
	if f.Kind == uplink.Reorder && f.Hold == 0 {
		f.Hold = defaultHold
	}
	return f, true
}

// End is when the last step is over.
func (s *Scenario) End() time.Duration {
	var end time.Duration
	for _, p := range s.Steps {
		end = max(end, p.At.D()+p.For.D())
	}
	return end
}

// Fits reports what keeps the scenario from being played at these venues within
// d; d of 0 means without an end.
func (s *Scenario) Fits(venues []string, d time.Duration) error {
	for _, p := range s.Steps {
		if p.Venue != "" && !slices.Contains(venues, p.Venue) {
			return fmt.Errorf("scenario %s needs the venue %s, but this demo has only %s: ask for more venues or use --scenario none", s.Name, p.Venue, strings.Join(venues, ", "))
		}
	}
	if d > 0 && d < s.End() {
		return fmt.Errorf("a demo of %v is too short for scenario %s, whose last step ends at %v: give it longer or use --scenario none", d, s.Name, s.End())
	}
	return nil
}
