package config

import (
	"ghostlight/buffer"
	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
	"ghostlight/synthetics"
)

// Config is agent.yaml. Relative paths in it are relative to its own folder.
type Config struct {
	// Node names this node. The fleet knows it by its token; the names are shown on the node's page and must match.
	Node Node `yaml:"node"`
	// DataDir is the folder that holds the buffer. One process at a time uses it.
	DataDir string `yaml:"data_dir"`
	// Fleet is the centre that telemetry is sent to.
	Fleet Fleet `yaml:"fleet"`
	// Page is the node's own page on the venue LAN.
	Page Page `yaml:"page"`
	// Scrape lists the Prometheus endpoints to read.
	Scrape Scrape `yaml:"scrape"`
	// Host reads the machine's own processor, memory, disks and network.
	Host Host `yaml:"host"`
	// OTLP opens doors for OpenTelemetry data of other programs.
	OTLP OTLP `yaml:"otlp"`
	// Lanes adds metric names to the lanes that are sent first.
	Lanes Lanes `yaml:"lanes"`
	// Tail says which spans and log lines are worth the uplink.
	Tail Tail `yaml:"tail"`
	// Buffer bounds the disk that unsent telemetry may use.
	Buffer Buffer `yaml:"buffer"`
	// Edgecore is the revenue service of this node; without it no outcomes are read and no cache is repaired.
	Edgecore *Edgecore `yaml:"edgecore"`
	// Journeys are the synthetic users of this node: a file, a shipped journey, or a journey written here.
	Journeys []JourneySource `yaml:"journeys"`
	// Objectives are OpenSLO v1 documents: a file, or a document written here.
	Objectives []ObjectiveSource `yaml:"objectives"`
	// Heal lets the node repair itself.
	Heal Heal `yaml:"heal"`
	// MemoryLimit is the soft limit of the agent's memory, and what the OTLP doors refuse data by.
	MemoryLimit strictyaml.Bytes `yaml:"memory_limit"`
	// Extra is raw collector configuration: receivers and pipelines beside the agent's own.
	Extra Extra `yaml:"extra"`

	name string // the file it was read from, for messages
}

// Node names a node.
type Node struct {
	// Region is a part of the fleet, such as a city.
	Region string `yaml:"region"`
	// Venue is the place the node works at.
	Venue string `yaml:"venue"`
	// Name tells the nodes of one venue apart.
	Name string `yaml:"name"`
}

// Source is the node as the rest of Ghostlight names it.
func (n Node) Source() buffer.Source {
	return buffer.Source{Region: n.Region, Venue: n.Venue, Node: n.Name}
}

// Fleet is the centre.
type Fleet struct {
	// URL is the fleet's base address, such as https://fleet.example:7600.
	URL string `yaml:"url"`
	// Token is this node's credential at the fleet; it also opens POST /api/flush on the node's page.
	Token string `yaml:"token"`
	// Bandwidth bounds what is sent to the fleet, for an uplink that is metered or shared with sales.
	Bandwidth Bandwidth `yaml:"bandwidth"`
}

// Bandwidth bounds what is sent. What must wait stays in the buffer.
type Bandwidth struct {
	// BytesPerSecond is the most that is sent in a second, at least 1KiB; 0 is no limit.
	BytesPerSecond strictyaml.Bytes `yaml:"bytes_per_second"`
	// BytesPerDay is the most that is sent in a day, UTC, at least 1MiB; 0 is no limit. From 70 % of it traces and logs wait, from 85 % old detail, from 95 % all detail, and at 100 % all but revenue.
	BytesPerDay strictyaml.Bytes `yaml:"bytes_per_day"`
}

// Page is the listener of the node's page.
type Page struct {
	// Listen is the address and port.
	Listen string `yaml:"listen"`
}

// Scrape is what the Prometheus scraper reads.
type Scrape struct {
	// Interval between scrapes, at least 1s. The agent's own metrics are recorded at this interval too.
	Interval strictyaml.Duration `yaml:"interval"`
	// Timeout of one scrape, at most the interval; a longer default is cut to the interval.
	Timeout strictyaml.Duration `yaml:"timeout"`
	// Targets are the endpoints.
	Targets []Target `yaml:"targets"`
}

// Target is one Prometheus endpoint.
type Target struct {
	// Job is the value of the label job.
	Job string `yaml:"job"`
	// URL is the endpoint; its host and port become the label instance.
	URL string `yaml:"url"`
	// Interval overrides scrape.interval.
	Interval strictyaml.Duration `yaml:"interval"`
	// Timeout overrides scrape.timeout.
	Timeout strictyaml.Duration `yaml:"timeout"`
	// Labels are added to every series.
	Labels map[string]string `yaml:"labels"`
	// HonorLabels keeps a label of the target where it collides with one of ours; otherwise the target's becomes exported_<name>.
	HonorLabels bool `yaml:"honor_labels"`
	// SampleLimit fails a scrape that has more samples; 0 is no limit.
	SampleLimit int `yaml:"sample_limit"`
	// BodyLimit fails a scrape with a longer body, measured uncompressed.
	BodyLimit strictyaml.Bytes `yaml:"body_limit"`
}

// Host is the machine under the node.
type Host struct {
	// Enabled switches host metrics on.
	Enabled bool `yaml:"enabled"`
	// Interval between readings, at least 1s.
	Interval strictyaml.Duration `yaml:"interval"`
	// PowerSupplies is the folder in which the system lists its batteries, as Linux does in /sys/class/power_supply.
	PowerSupplies string `yaml:"power_supplies"`
}

// OTLP holds the addresses of the OpenTelemetry doors; an empty one is closed.
type OTLP struct {
	// GRPC is the address for OTLP over gRPC.
	GRPC string `yaml:"grpc"`
	// HTTP is the address for OTLP over HTTP.
	HTTP string `yaml:"http"`
}

// Lanes holds globs of metric names, such as shop_orders_*, in addition to the built-in ones.
type Lanes struct {
	// Revenue metrics are never thinned or dropped.
	Revenue []string `yaml:"revenue"`
	// Health metrics tell whether the venue works; they are sent before detail.
	Health []string `yaml:"health"`
}

// Buffer bounds the store-and-forward buffer.
type Buffer struct {
	// DiskBudget is the most that all lanes together may use.
	DiskBudget strictyaml.Bytes `yaml:"disk_budget"`
	// RevenueReserve is the part of it that only the revenue lane may use.
	RevenueReserve strictyaml.Bytes `yaml:"revenue_reserve"`
}

// Edgecore is the revenue service of the node.
type Edgecore struct {
	// URL is its public listener; journeys know it as the variable base.
	URL string `yaml:"url"`
	// AdminURL is its admin listener.
	AdminURL string `yaml:"admin_url"`
	// AdminToken opens the admin listener.
	AdminToken string `yaml:"admin_token"`
	// SyntheticKey signs the claim that keeps journeys out of the books, at least 32 characters.
	SyntheticKey string `yaml:"synthetic_key"`
}

// Heal lets the node repair itself.
type Heal struct {
	// DryRun decides and records, but does nothing.
	DryRun bool `yaml:"dry_run"`
	// Supervisor restarts units over a Unix socket.
	Supervisor *Supervisor `yaml:"supervisor"`
	// Systemd restarts units with systemctl.
	Systemd bool `yaml:"systemd"`
	// Restart is the rule that restarts the revenue service; absent: never.
	Restart *Restart `yaml:"restart"`
	// CacheRepair is the rule that repairs edgecore's cache; absent: never.
	CacheRepair *CacheRepair `yaml:"cache_repair"`
}

// Supervisor is the program that runs the units of this machine.
type Supervisor struct {
	// Socket is the path of its Unix socket.
	Socket string `yaml:"socket"`
}

// Restart is the rule that restarts a unit.
type Restart struct {
	// Unit is the unit's name at the supervisor or systemd.
	Unit string `yaml:"unit"`
	// CoolDown is the least time between two restarts; default 30s.
	CoolDown strictyaml.Duration `yaml:"cool_down"`
	// PerHour is the most restarts in an hour; default 6.
	PerHour int `yaml:"per_hour"`
	// Failures is how many runs or scrapes in a row must fail first, at least 2; default 2.
	Failures int `yaml:"failures"`
}

// CacheRepair is the rule that repairs edgecore's cache.
type CacheRepair struct {
	// CoolDown is the least time between two repairs; default 30s.
	CoolDown strictyaml.Duration `yaml:"cool_down"`
	// PerHour is the most repairs in an hour; default 12.
	PerHour int `yaml:"per_hour"`
}

// JourneySource is one entry of journeys; Journey is what it stands for.
type JourneySource struct {
	source
	Journey synthetics.Journey
}

// ObjectiveSource is one entry of objectives; a file may hold several documents.
type ObjectiveSource struct {
	source
	Objectives []slo.Objective
}

// File is the name of the file that was read.
func (c *Config) File() string { return c.name }

// AllJourneys lists the journeys of all sources.
func (c *Config) AllJourneys() []synthetics.Journey {
	out := make([]synthetics.Journey, 0, len(c.Journeys))
	for _, s := range c.Journeys {
		out = append(out, s.Journey)
	}
	return out
}

// AllObjectives lists the objectives of all sources.
func (c *Config) AllObjectives() []slo.Objective {
	var out []slo.Objective
	for _, s := range c.Objectives {
		out = append(out, s.Objectives...)
	}
	return out
}
