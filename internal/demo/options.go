package demo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// DefaultBasePort is the first port of a demo that is not told otherwise.
const DefaultBasePort = 7400

// maxSocketPath is the longest path Linux takes for a Unix socket.
const maxSocketPath = 107

// Options say how to run a demo.
type Options struct {
	Venues   int           // 1 to MaxVenues
	Seed     uint64        // of the crowd
	Duration time.Duration // of the event and what follows; 0: until ctx ends
	Scenario string        // default, outage, none or a file
	BasePort int           // first of the ports used
	Data     string        // data folder; empty: a fresh temporary one
	Keep     bool          // keep the data folder, temporary or not
	Bin      string        // folder of the ghostlight-* programs

	Alertmanager string // URL of an Alertmanager that pages go to as well; empty: none

	Tell io.Writer // where the narration goes, in plain sentences
}

func (o Options) validate() error {
	var errs []error
	if o.Venues < 1 || o.Venues > MaxVenues {
		errs = append(errs, fmt.Errorf("%d venues: a demo has 1 to %d", o.Venues, MaxVenues))
	}
	if last := o.BasePort + portsPerVenue*(o.Venues+1); o.BasePort < 1024 || last > 65535 {
		errs = append(errs, fmt.Errorf("base port %d: %d venues need ports %d to %d, which must lie between 1024 and 65535", o.BasePort, o.Venues, o.BasePort, last))
	}
	if o.Duration != 0 && o.Duration < time.Second {
		errs = append(errs, fmt.Errorf("a demo of %v is too short: at least 1s", o.Duration))
	}
	if o.Tell == nil {
		errs = append(errs, errors.New("the demo has nobody to tell what happens"))
	}
	return errors.Join(errs...)
}

// programs are the binaries a demo runs, by the role they play.
type programs struct{ fleet, edgecore, agent string }

// findPrograms looks for the programs in one folder.
func findPrograms(dir string) (programs, error) {
	p := programs{}
	for _, want := range []struct {
		name string
		path *string
	}{{"ghostlight-fleet", &p.fleet}, {"ghostlight-edgecore", &p.edgecore}, {"ghostlight-agent", &p.agent}} {
		*want.path = filepath.Join(dir, want.name)
		if info, err := os.Stat(*want.path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return programs{}, fmt.Errorf("the program %s is not in %s: build all programs into one folder with make build", want.name, dir)
		}
	}
	return p, nil
}

// dataDir makes the data folder. A temporary one is not to be kept unless asked
// for; one that the caller named always is.
func (o Options) dataDir() (dir string, keep bool, err error) {
	if o.Data == "" {
		if dir, err = os.MkdirTemp("", "ghostlight-demo-"); err != nil {
			return "", false, folderError(err)
		}
		return dir, o.Keep, checkSocketPath(dir)
	}
	if dir, err = filepath.Abs(o.Data); err != nil {
		return "", false, fmt.Errorf("data folder %s: %w", o.Data, err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", false, fmt.Errorf("data folder %s is not empty: name a fresh one", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, folderError(err)
	}
	return dir, true, checkSocketPath(dir)
}

func checkSocketPath(dir string) error {
	if path := (layout{dir: dir}).socket(); len(path) > maxSocketPath {
		return fmt.Errorf("the path of the data folder %s is too long for a Unix socket in it: at most %d characters", dir, maxSocketPath-len(path)+len(dir))
	}
	return nil
}

// checkPorts reports the first port that is taken, before anything starts.
func (l layout) checkPorts() error {
	ports := l.ports()
	numbers := make([]int, 0, len(ports))
	for port := range ports {
		numbers = append(numbers, port)
	}
	slices.Sort(numbers)
	for _, port := range numbers {
		ln, err := net.Listen("tcp", addr(port))
		if err != nil {
			return fmt.Errorf("port %d, meant for %s, is not free (%w): stop what uses it, or choose other ports with --base-port", port, ports[port], err)
		}
		ln.Close()
	}
	return nil
}
