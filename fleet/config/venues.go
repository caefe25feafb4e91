package config

import (
	"errors"
	"fmt"

	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
)

// A Venue says more of a venue that some node is in.
type Venue struct {
	// Name is the venue's, as its nodes have it.
	Name string `yaml:"name"`
	// Hours are its opening hours, such as "Mo-Fr 18:00-02:00; Europe/London": its
	// nodes should be on then. Empty: only for its events.
	Hours slo.Hours `yaml:"hours"`
	// Contact is whom to ring there, in place of what its nodes say.
	Contact string `yaml:"contact"`
}

// Hours are the opening hours by venue.
func (c Config) Hours() map[string]slo.Hours {
	out := map[string]slo.Hours{}
	for _, v := range c.Venues {
		if v.Hours != "" {
			out[v.Name] = v.Hours
		}
	}
	return out
}

// Contact is whom to ring at a node's venue.
func (c Config) Contact(n Node) string {
	for _, v := range c.Venues {
		if v.Name == n.Venue && v.Contact != "" {
			return v.Contact
		}
	}
	return n.Contact
}

func (c Config) validateVenues() error {
	var errs []error
	known, seen := map[string]bool{}, map[string]int{}
	for _, n := range c.Nodes {
		known[n.Venue] = true
	}
	for i, v := range c.Venues {
		at := fmt.Sprintf("venues[%d]", i)
		if !known[v.Name] {
			errs = append(errs, strictyaml.Fieldf(at+".name", "is %q: no node is in that venue", v.Name))
		}
		if first, ok := seen[v.Name]; ok {
			errs = append(errs, strictyaml.Fieldf(at+".name", "is %q again: it is venues[%d] too", v.Name, first))
		} else {
			seen[v.Name] = i
		}
		if err := v.Hours.Validate(); err != nil {
			errs = append(errs, strictyaml.Fieldf(at+".hours", "cannot be used: %v", err))
		}
	}
	return errors.Join(errs...)
}
