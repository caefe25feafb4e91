package edgecore

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/claim"
	"ghostlight/internal/strictyaml"
)

// The roles an edgecore can play.
const (
	RoleNode = "node"
	RoleHub  = "hub"
)

// Config is edgecore.yaml.
type Config struct {
	// Role is "node" (a till at a venue) or "hub" (the regional authority on the
	// catalogue and receiver of settlements).
	Role string `yaml:"role"`
	// Name of this instance, unique in its region: 1 to 63 characters of a-z,
	// 0-9, '-', '_', '.'. It is the issuer of a node's tickets and receipts.
	Name string `yaml:"name"`
	// Listen is the address of the public API (node) or the only one (hub).
	Listen string `yaml:"listen"`
	// Admin is the node's door for operators. A hub has none.
	Admin Admin `yaml:"admin"`
	// DataDir is the folder of ledger and cache, made if need be; one process
	// has it at a time.
	DataDir string `yaml:"data_dir"`
	// Hub is where a node finds its hub; a hub itself needs only the token.
	Hub Hub `yaml:"hub"`
	// SyntheticKey is the secret that probes sign their claims with, at least 32
	// characters. Empty: every synthetic claim is refused. Node only.
	SyntheticKey string `yaml:"synthetic_key"`
	// Cache is the node's copy of what the hub publishes.
	Cache Cache `yaml:"cache"`
	// Catalog is what a hub sells.
	Catalog Catalog `yaml:"catalog"`
	// OTLP is where traces go.
	OTLP OTLP `yaml:"otlp"`
	// Currency is the ISO 4217 code of the venue's prices; default EUR.
	Currency string `yaml:"currency"`
}

// Admin configures the operators' door of a node.
type Admin struct {
	// Listen is its address; keep it on loopback or a management network.
	Listen string `yaml:"listen"`
	// Token is the bearer token of all but /metrics and /healthz.
	Token string `yaml:"token"`
}

// Hub says how nodes and hub reach each other.
type Hub struct {
	// URL is the hub's base URL, such as http://hub.example:7410. Node only.
	URL string `yaml:"url"`
	// Token is the secret that nodes settle with.
	Token string `yaml:"token"`
}

// Cache configures the node's cache.
type Cache struct {
	// TTL is how long an object is served without asking the hub; default 30s.
	TTL strictyaml.Duration `yaml:"ttl"`
	// MaxAgeStale is how old an object may be served while the hub is away;
	// default 24h.
	MaxAgeStale strictyaml.Duration `yaml:"max_age_stale"`
	// VerifyInterval is how long the background verifier takes to walk all
	// objects once; default 10s.
	VerifyInterval strictyaml.Duration `yaml:"verify_interval"`
}

// Catalog configures a hub's generated catalogue.
type Catalog struct {
	// Seed makes the same catalogue each time; default 1.
	Seed uint64 `yaml:"seed"`
	// Items is its size, 1 to 1000; default 40.
	Items int `yaml:"items"`
}

// OTLP configures traces.
type OTLP struct {
	// Endpoint is the base URL of an OTLP/HTTP collector, such as
	// http://127.0.0.1:4318; empty turns traces off.
	Endpoint string `yaml:"endpoint"`
	// SampleRatio is the share of requests traced that do not continue a trace of
	// their caller, 0 to 1; default 0.1.
	SampleRatio float64 `yaml:"sample_ratio"`
}

// Default returns the configuration before a file is read over it.
func Default() Config {
	return Config{
		Cache: Cache{
			TTL: strictyaml.Duration(30 * time.Second), MaxAgeStale: strictyaml.Duration(24 * time.Hour),
			VerifyInterval: strictyaml.Duration(10 * time.Second),
		},
		Catalog:  Catalog{Seed: 1, Items: 40},
		OTLP:     OTLP{SampleRatio: 0.1},
		Currency: "EUR",
	}
}

// LoadConfig reads the file at path over the defaults.
func LoadConfig(path string) (Config, error) {
	c := Default()
	if err := strictyaml.Load(path, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Validate reports every field that cannot be worked with.
func (c *Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, strictyaml.Fieldf(path, format, args...)) }
	if c.Name == "" || len(c.Name) > 63 || strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		bad("name", "is %q; give 1 to 63 characters of a-z, 0-9, '-', '_', '.'", c.Name)
	}
	if !validAddr(c.Listen) {
		bad("listen", "is %q; give host:port, such as 127.0.0.1:7414", c.Listen)
	}
	if c.DataDir == "" {
		bad("data_dir", "is empty; name a folder to keep data in")
	}
	if c.Hub.Token == "" {
		bad("hub.token", "is empty; nodes and hub share this secret")
	}
	if !catalog.ValidCurrency(c.Currency) {
		bad("currency", "is %q; give an ISO 4217 code, such as EUR", c.Currency)
	}
	if c.OTLP.Endpoint != "" && !validURL(c.OTLP.Endpoint) {
		bad("otlp.endpoint", "is %q; give a URL, such as http://127.0.0.1:4318", c.OTLP.Endpoint)
	}
	if !(c.OTLP.SampleRatio >= 0 && c.OTLP.SampleRatio <= 1) {
		bad("otlp.sample_ratio", "is %v; allowed: 0 to 1", c.OTLP.SampleRatio)
	}
	switch c.Role {
	case RoleNode:
		errs = append(errs, c.validateNode())
	case RoleHub:
		errs = append(errs, c.validateHub())
	default:
		bad("role", "is %q; allowed: node, hub", c.Role)
	}
	return errors.Join(errs...)
}

func (c *Config) validateNode() error {
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, strictyaml.Fieldf(path, format, args...)) }
	if !validAddr(c.Admin.Listen) {
		bad("admin.listen", "is %q; give host:port, such as 127.0.0.1:7415", c.Admin.Listen)
	}
	if c.Admin.Token == "" {
		bad("admin.token", "is empty; the admin API needs a bearer token")
	}
	if !validURL(c.Hub.URL) {
		bad("hub.url", "is %q; give the hub's base URL, such as http://hub.example:7410", c.Hub.URL)
	}
	if c.SyntheticKey != "" && len(c.SyntheticKey) < claim.MinKey {
		bad("synthetic_key", "has %d characters; at least %d are needed", len(c.SyntheticKey), claim.MinKey)
	}
	if c.Cache.TTL <= 0 {
		bad("cache.ttl", "is %v; give more than 0s", c.Cache.TTL)
	}
	if c.Cache.MaxAgeStale < c.Cache.TTL {
		bad("cache.max_age_stale", "is %v; give at least cache.ttl (%v)", c.Cache.MaxAgeStale, c.Cache.TTL)
	}
	if c.Cache.VerifyInterval.D() < 100*time.Millisecond {
		bad("cache.verify_interval", "is %v; give at least 100ms", c.Cache.VerifyInterval)
	}
	return errors.Join(errs...)
}

func (c *Config) validateHub() error {
	if c.Catalog.Items < 1 || c.Catalog.Items > catalog.MaxItems {
		return strictyaml.Fieldf("catalog.items", "is %d; allowed: 1 to %d", c.Catalog.Items, catalog.MaxItems)
	}
	return nil
}

func validAddr(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
