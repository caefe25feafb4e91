package config

import (
	"net/url"
	"strings"
)

// Vars are the variables that this configuration gives every journey: base and
// relay, the addresses of edgecore's API and relay, where there is an edgecore.
func (c *Config) Vars() map[string]string {
	if c.Edgecore == nil {
		return nil
	}
	base := strings.TrimRight(c.Edgecore.URL, "/")
	relay := base
	if u, err := url.Parse(base); err == nil {
		u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
		relay = u.JoinPath("/v1/relay").String()
	}
	return map[string]string{"base": base, "relay": relay}
}
