// Package shipped holds the objectives that come with Ghostlight.
package shipped

import _ "embed"

//go:embed checkout.yaml
var checkout []byte

//go:embed venue.yaml
var venue []byte

// Checkout is the OpenSLO file of a venue's checkout: checkout-success from
// payment outcomes and checkout-journey from the revenue journey.
func Checkout() []byte { return append([]byte(nil), checkout...) }

// Venue is the OpenSLO file of what else a venue can promise: latencies, cache
// hits, tokens, settlement, conversion, uplink, recovery and power.
func Venue() []byte { return append([]byte(nil), venue...) }
