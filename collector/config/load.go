package config

import (
	"fmt"
	"os"
	"time"

	"ghostlight/internal/strictyaml"
)

// Default is the configuration before a file is read over it.
func Default() Config {
	return Config{
		Page:        Page{Listen: "127.0.0.1:7500"},
		Scrape:      Scrape{Interval: strictyaml.Duration(15 * time.Second), Timeout: strictyaml.Duration(10 * time.Second)},
		Host:        Host{Enabled: true, Interval: strictyaml.Duration(15 * time.Second), PowerSupplies: "/sys/class/power_supply"},
		OTLP:        OTLP{GRPC: "127.0.0.1:4317", HTTP: "127.0.0.1:4318"},
		Tail:        defaultTail(),
		Buffer:      Buffer{DiskBudget: 1 << 30, RevenueReserve: 64 << 20},
		MemoryLimit: 48 << 20,
	}
}

// Load reads, checks and completes the file at path. The error joins one
// [strictyaml.Error] for each problem.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration %w", err)
	}
	return Decode(path, data)
}

// Decode is [Load] for data at hand; name stands for the file.
func Decode(name string, data []byte) (*Config, error) {
	c := Default()
	c.name = name
	if err := strictyaml.Decode(name, data, &c); err != nil {
		return nil, err
	}
	c.complete()
	if err := c.resolve(name, data); err != nil {
		return nil, err
	}
	if err := c.crossCheck(); err != nil {
		return nil, err
	}
	return &c, nil
}

// complete fills in what defaults to another field.
func (c *Config) complete() {
	c.Scrape.Timeout = min(c.Scrape.Timeout, c.Scrape.Interval)
	for i := range c.Scrape.Targets {
		t := &c.Scrape.Targets[i]
		if t.Interval == 0 {
			t.Interval = c.Scrape.Interval
		}
		if t.Timeout == 0 {
			t.Timeout = min(c.Scrape.Timeout, t.Interval)
		}
		if t.BodyLimit == 0 {
			t.BodyLimit = 16 << 20
		}
	}
	if r := c.Heal.Restart; r != nil {
		set(&r.CoolDown, strictyaml.Duration(30*time.Second))
		set(&r.PerHour, 6)
		set(&r.Failures, 2)
	}
	if r := c.Heal.CacheRepair; r != nil {
		set(&r.CoolDown, strictyaml.Duration(30*time.Second))
		set(&r.PerHour, 12)
	}
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
