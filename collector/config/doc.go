// Package config is the agent's configuration: one strict YAML file, read into a
// validated [Config] and rendered into the collector's own configuration.
//
// Every refusal names file, line, column, field and what is allowed there. The
// package opens no listener and contacts nobody.
package config
