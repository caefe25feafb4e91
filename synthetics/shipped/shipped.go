// Package shipped holds the journeys that come with Ghostlight. They are data:
// the YAML files beside this one, built in.
package shipped

import (
	_ "embed"
	"fmt"

	"ghostlight/synthetics"
)

//go:embed revenue-path.yaml
var revenuePath []byte

// RevenuePath is the journey of one customer through edgecore, from walk-up
// ticket to refund. The runner supplies the variables base, the URL of edgecore's
// public listener (http://127.0.0.1:7414), and relay, the URL of its relay
// (ws://127.0.0.1:7414/v1/relay).
func RevenuePath() synthetics.Journey {
	j, err := synthetics.Decode("revenue-path.yaml", revenuePath)
	if err != nil {
		// The file is part of the program and a test decodes it: this build is broken.
		panic(fmt.Sprintf("shipped journey: %v", err))
	}
	return j
}

// RevenuePathYAML is the journey's file, to start one's own from.
func RevenuePathYAML() []byte { return append([]byte(nil), revenuePath...) }
