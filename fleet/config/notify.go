package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"ghostlight/internal/strictyaml"
)

// A Route is one receiver of pages and which it gets. Exactly one of Alertmanager,
// Webhook and Signed is set.
type Route struct {
	// Name is the receiver's, unique. What it was told is kept by this name.
	Name string `yaml:"name"`
	// Alertmanager is a Prometheus Alertmanager. Each of a cluster needs a route of its
	// own.
	Alertmanager *Address `yaml:"alertmanager"`
	// Webhook takes what Alertmanager's webhook posts.
	Webhook *Address `yaml:"webhook"`
	// Signed takes pages with all their facts, signed.
	Signed *Signed `yaml:"signed"`
	// Match must all hold for a page to go here. Empty: every page does.
	Match []Matcher `yaml:"match"`
	// Wait is how long a page waits for others of its venue. The default is not at
	// all.
	Wait strictyaml.Duration `yaml:"wait"`
}

// An Address is where a receiver is.
type Address struct {
	// URL is its address, such as http://127.0.0.1:9093.
	URL string `yaml:"url"`
}

// Signed is a receiver that is proven who sends.
type Signed struct {
	// URL is its address.
	URL string `yaml:"url"`
	// Secrets are shared with it, each at least 16 bytes: two of them while one
	// replaces the other.
	Secrets []string `yaml:"secrets"`
}

// A Matcher is a condition on one label of a page: alertname, incident, severity (page
// or ticket), region, venue, node, carrier or cause.
type Matcher struct {
	// Label is the label's name; one that is absent is "".
	Label string `yaml:"label"`
	// Value is what it must be.
	Value string `yaml:"value"`
	// Regex says that Value is a regular expression for the whole of it.
	Regex bool `yaml:"regex"`
	// Not says that the condition must not hold.
	Not bool `yaml:"not"`
}

// DeadMan is an address outside that is told that the centre works. When it falls
// silent, whoever watches it rings somebody.
type DeadMan struct {
	// URL is the address. Empty: nobody is told.
	URL string `yaml:"url"`
	// Every is how often, at least 1s. The default is 1m.
	Every strictyaml.Duration `yaml:"every"`
}

// MinSecret is the least length of a secret that signs, in bytes.
const MinSecret = 16

func (c Config) validateNotify() error {
	var errs []error
	refuse := func(path, format string, args ...any) { errs = append(errs, strictyaml.Fieldf(path, format, args...)) }
	address := func(path, s string) {
		if s != "" && !isURL(s) {
			refuse(path, "is not an address: write for example https://ghostlight.example.org")
		}
	}
	address("public_url", c.PublicURL)
	address("dead_man.url", c.DeadMan.URL)
	if c.DeadMan.Every.D() < time.Second {
		refuse("dead_man.every", "is %s: allowed is 1s and more", c.DeadMan.Every)
	}
	names := map[string]int{}
	for i, r := range c.Notify {
		at := fmt.Sprintf("notify[%d]", i)
		if r.Name == "" {
			refuse(at+".name", "is empty: name the receiver")
		} else if first, ok := names[r.Name]; ok {
			refuse(at+".name", "is %q again: it is notify[%d] too", r.Name, first)
		} else {
			names[r.Name] = i
		}
		errs = append(errs, r.validate(at))
	}
	return errors.Join(errs...)
}

func (r Route) validate(at string) error {
	var errs []error
	refuse := func(path, format string, args ...any) { errs = append(errs, strictyaml.Fieldf(path, format, args...)) }
	set := 0
	address := func(path, s string) {
		set++
		if !isURL(s) {
			refuse(path, "is not an address: write for example http://127.0.0.1:9093")
		}
	}
	if r.Alertmanager != nil {
		address(at+".alertmanager.url", r.Alertmanager.URL)
	}
	if r.Webhook != nil {
		address(at+".webhook.url", r.Webhook.URL)
	}
	if r.Signed != nil {
		address(at+".signed.url", r.Signed.URL)
		if len(r.Signed.Secrets) == 0 {
			refuse(at+".signed.secrets", "is empty: list the secret that is shared with the receiver")
		}
		for k, s := range r.Signed.Secrets {
			if len(s) < MinSecret {
				refuse(fmt.Sprintf("%s.signed.secrets[%d]", at, k), "is shorter than %d bytes", MinSecret)
			}
		}
	}
	if set != 1 {
		refuse(at, "names %d receivers: set one of alertmanager, webhook and signed", set)
	}
	if r.Wait.D() < 0 || r.Wait.D() > time.Hour {
		refuse(at+".wait", "is %s: allowed is 0s to 1h", r.Wait)
	}
	for k, m := range r.Match {
		path := fmt.Sprintf("%s.match[%d]", at, k)
		if m.Label == "" {
			refuse(path+".label", "is empty: name a label")
		}
		if _, err := regexp.Compile(m.Value); m.Regex && err != nil {
			refuse(path+".value", "is not a regular expression: %v", err)
		}
	}
	return errors.Join(errs...)
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}
