// Package config is the fleet's configuration: one strict YAML file. What it does
// not understand it refuses, naming file, line, column and field.
package config

import (
	"errors"
	"fmt"
	"net"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/internal/strictyaml"
)

// Config is fleet.yaml.
type Config struct {
	// Listen is the address of pages, APIs and the nodes' door. The default
	// is 127.0.0.1:7600.
	Listen string `yaml:"listen"`
	// DataDir is the folder that everything is kept in. One fleet uses it at a
	// time.
	DataDir string `yaml:"data_dir"`
	// Retention is how long samples are kept, at least 1d. The default is 1y.
	Retention strictyaml.Duration `yaml:"retention"`
	// DarkAfter is the silence after which a node is dark, at least 1s. Nodes are
	// told it, and say something three times as often. The default is 15s.
	DarkAfter strictyaml.Duration `yaml:"dark_after"`
	// Nodes are the nodes of the fleet. Nobody else is let in.
	Nodes []Node `yaml:"nodes"`
	// Venues say more of some of the venues that nodes are in.
	Venues []Venue `yaml:"venues"`
	// PublicURL is the address that people reach the centre at, such as
	// https://ghostlight.example.org. Pages that are sent out link to it. Empty: they
	// carry no link.
	PublicURL string `yaml:"public_url"`
	// Notify lists who is told of incidents. Empty: nobody is.
	Notify []Route `yaml:"notify"`
	// DeadMan is told from time to time that the centre works.
	DeadMan DeadMan `yaml:"dead_man"`
	// APIToken is what a call must carry that changes something, such as
	// starting an event. Empty: no such call is allowed.
	APIToken string `yaml:"api_token"`
	// MemoryLimit is what the process aims to stay below, at least 128MiB. An
	// eighth of it caches time series. The default is 512MiB.
	MemoryLimit strictyaml.Bytes `yaml:"memory_limit"`
	// OTLP is where OpenTelemetry senders are let in besides Listen, which takes
	// OTLP over HTTP.
	OTLP OTLP `yaml:"otlp"`
	// Evidence bounds the spans and log lines kept of failed journeys.
	Evidence Evidence `yaml:"evidence"`
	// Limits bound what one node can send and what waits to be stored.
	Limits Limits `yaml:"limits"`
}

// Evidence bounds the spans and log lines kept of failed journeys. All others are
// dropped once they have waited to be claimed.
type Evidence struct {
	// MaxAge is how long evidence is kept, at least 1h. The default is 30d.
	MaxAge strictyaml.Duration `yaml:"max_age"`
	// MaxBytes is the most that is kept, at least 1MiB; the oldest goes first. The
	// default is 256MiB.
	MaxBytes strictyaml.Bytes `yaml:"max_bytes"`
	// Hold is how long spans and lines wait for the failed run that they belong to,
	// at least 1m. The default is 15m.
	Hold strictyaml.Duration `yaml:"hold"`
	// HoldBytes is the most that waits, at least 1MiB; the oldest goes first. The
	// default is 64MiB.
	HoldBytes strictyaml.Bytes `yaml:"hold_bytes"`
}

func (e Evidence) validate() error {
	var errs []error
	refuse := func(path, format string, args ...any) { errs = append(errs, strictyaml.Fieldf(path, format, args...)) }
	if e.MaxAge.D() < time.Hour {
		refuse("evidence.max_age", "is %s: allowed is 1h and more", e.MaxAge)
	}
	if e.MaxBytes < 1<<20 {
		refuse("evidence.max_bytes", "is %s: allowed is 1MiB and more", e.MaxBytes)
	}
	if e.Hold.D() < time.Minute {
		refuse("evidence.hold", "is %s: allowed is 1m and more", e.Hold)
	}
	if e.HoldBytes < 1<<20 {
		refuse("evidence.hold_bytes", "is %s: allowed is 1MiB and more", e.HoldBytes)
	}
	return errors.Join(errs...)
}

// OTLP is where OpenTelemetry senders are let in.
type OTLP struct {
	// GRPC is the address of OTLP over gRPC, such as 127.0.0.1:4317. Empty: it is
	// off.
	GRPC string `yaml:"grpc"`
}

// A Node is one node that may send.
type Node struct {
	// Region, Venue and Name identify it: 1 to 63 characters of a-z, 0-9, '-',
	// '_', '.'. They become the labels region, venue and node.
	Region string `yaml:"region"`
	Venue  string `yaml:"venue"`
	Name   string `yaml:"name"`
	// Token is the node's credential, at least 8 characters, its own.
	Token string `yaml:"token"`
	// Contact is whom to ring at the venue; free text.
	Contact string `yaml:"contact"`
	// Carrier is who runs the node's uplink; free text. Nodes of one carrier that go
	// dark together are one incident.
	Carrier string `yaml:"carrier"`
}

// MinToken is the least length of a node's token in bytes.
const MinToken = 8

// Source is the node's identity.
func (n Node) Source() buffer.Source {
	return buffer.Source{Region: n.Region, Venue: n.Venue, Node: n.Name}
}

// Limits bound what one node can send and what waits to be stored.
type Limits struct {
	// BlockBytes is the largest block, 1KiB to 4MiB. A stream takes frames of as
	// much, but not above 1MiB. The default is 4MiB.
	BlockBytes strictyaml.Bytes `yaml:"block_bytes"`
	// SeriesPerBlock is the most series of one block. The default is 50000.
	SeriesPerBlock int `yaml:"series_per_block"`
	// JournalBytes is how much may be acknowledged and wait to be stored for
	// good, at least 16MiB, at eight bytes a sample and a little more; beyond it
	// nodes are told to wait. The default is 1GiB.
	JournalBytes strictyaml.Bytes `yaml:"journal_bytes"`
	// RequestBytes is the largest remote write or OTLP request, 64KiB to 64MiB, as
	// it travels and decompressed. The default is 16MiB.
	RequestBytes strictyaml.Bytes `yaml:"request_bytes"`
	// Node bounds what one node sends through all doors together. Beyond it the
	// node is told to send later; its revenue lane may exceed each by a quarter.
	Node NodeLimits `yaml:"node"`
}

// NodeLimits bound what one node sends.
type NodeLimits struct {
	// Series is the most distinct series of the last half to whole hour, at least
	// series_per_block. The default is 200000.
	Series int `yaml:"series"`
	// BytesPerSecond is the most bytes on average, as they travel, at least 1KiB.
	// Ten seconds' worth may come at once. The default is 32MiB.
	BytesPerSecond strictyaml.Bytes `yaml:"bytes_per_second"`
	// SamplesPerSecond is the most samples on average, at least 1. Ten seconds'
	// worth may come at once. The default is 1000000.
	SamplesPerSecond int64 `yaml:"samples_per_second"`
}

// Default is the configuration of an empty file. It is not valid yet: it has no
// folder and no nodes.
func Default() Config {
	return Config{
		Listen:      "127.0.0.1:7600",
		Retention:   strictyaml.Duration(365 * 24 * time.Hour),
		DarkAfter:   strictyaml.Duration(15 * time.Second),
		MemoryLimit: 512 << 20,
		DeadMan:     DeadMan{Every: strictyaml.Duration(time.Minute)},
		Evidence: Evidence{
			MaxAge: strictyaml.Duration(30 * 24 * time.Hour), MaxBytes: 256 << 20, Hold: strictyaml.Duration(15 * time.Minute), HoldBytes: 64 << 20,
		},
		Limits: Limits{
			BlockBytes: buffer.MaxBlockBytes, SeriesPerBlock: delta.DefaultLimits().Series, JournalBytes: 1 << 30, RequestBytes: 16 << 20,
			Node: NodeLimits{Series: 200_000, BytesPerSecond: 32 << 20, SamplesPerSecond: 1_000_000},
		},
	}
}

// Load reads a file over the defaults.
func Load(path string) (Config, error) {
	c := Default()
	err := strictyaml.Load(path, &c)
	return c, err
}

// Validate reports every field that cannot be used.
func (c Config) Validate() error {
	var errs []error
	refuse := func(path, format string, args ...any) { errs = append(errs, strictyaml.Fieldf(path, format, args...)) }
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		refuse("listen", "is not an address: write for example 127.0.0.1:7600")
	}
	if c.DataDir == "" {
		refuse("data_dir", "is empty: name a folder to keep data in")
	}
	if c.Retention.D() < 24*time.Hour {
		refuse("retention", "is %s: allowed is 1d and more", c.Retention)
	}
	if c.DarkAfter.D() < time.Second {
		refuse("dark_after", "is %s: allowed is 1s and more", c.DarkAfter)
	}
	if c.MemoryLimit < 128<<20 {
		refuse("memory_limit", "is %s: allowed is 128MiB and more", c.MemoryLimit)
	}
	if c.OTLP.GRPC != "" {
		if _, _, err := net.SplitHostPort(c.OTLP.GRPC); err != nil {
			refuse("otlp.grpc", "is not an address: write for example 127.0.0.1:4317, or leave it empty")
		}
	}
	return errors.Join(append(errs, c.Evidence.validate(), c.Limits.validate(), c.validateNodes(), c.validateVenues(), c.validateNotify())...)
}

func (l Limits) validate() error {
	var errs []error
	refuse := func(path, format string, args ...any) { errs = append(errs, strictyaml.Fieldf(path, format, args...)) }
	if l.BlockBytes < 1<<10 || l.BlockBytes > buffer.MaxBlockBytes {
		refuse("limits.block_bytes", "is %s: allowed is 1KiB to 4MiB", l.BlockBytes)
	}
	if l.SeriesPerBlock < 1 {
		refuse("limits.series_per_block", "is %d: allowed is 1 and more", l.SeriesPerBlock)
	}
	if l.JournalBytes < 16<<20 {
		refuse("limits.journal_bytes", "is %s: allowed is 16MiB and more", l.JournalBytes)
	}
	if l.RequestBytes < 64<<10 || l.RequestBytes > 64<<20 {
		refuse("limits.request_bytes", "is %s: allowed is 64KiB to 64MiB", l.RequestBytes)
	}
	if l.Node.Series < l.SeriesPerBlock {
		refuse("limits.node.series", "is %d: allowed is limits.series_per_block, %d, and more", l.Node.Series, l.SeriesPerBlock)
	}
	if l.Node.BytesPerSecond < 1<<10 {
		refuse("limits.node.bytes_per_second", "is %s: allowed is 1KiB and more", l.Node.BytesPerSecond)
	}
	if l.Node.SamplesPerSecond < 1 {
		refuse("limits.node.samples_per_second", "is %d: allowed is 1 and more", l.Node.SamplesPerSecond)
	}
	return errors.Join(errs...)
}

func (c Config) validateNodes() error {
	var errs []error
	if len(c.Nodes) == 0 {
		errs = append(errs, strictyaml.Fieldf("nodes", "is empty: list the nodes that may send"))
	}
	names, tokens := map[buffer.Source]int{}, map[string]int{}
	for i, n := range c.Nodes {
		at := fmt.Sprintf("nodes[%d]", i)
		if err := n.Source().Validate(); err != nil {
			errs = append(errs, strictyaml.Fieldf(at, "cannot be used: %v", err))
		}
		if first, ok := names[n.Source()]; ok {
			errs = append(errs, strictyaml.Fieldf(at, "is node %s again: it is nodes[%d] too", n.Source(), first))
		} else {
			names[n.Source()] = i
		}
		if len(n.Token) < MinToken {
			errs = append(errs, strictyaml.Fieldf(at+".token", "is shorter than %d characters", MinToken))
			continue
		}
		if first, ok := tokens[n.Token]; ok {
			errs = append(errs, strictyaml.Fieldf(at+".token", "is the token of nodes[%d] too: give each node its own", first))
		} else {
			tokens[n.Token] = i
		}
	}
	return errors.Join(errs...)
}
