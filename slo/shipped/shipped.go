// Package shipped holds the objectives that come with Ghostlight.
package shipped

import _ "embed"

//go:embed checkout.yaml
var checkout []byte

// Checkout is the OpenSLO file of a venue's checkout: checkout-success from
// payment outcomes and checkout-journey from the revenue journey.
func Checkout() []byte { return append([]byte(nil), checkout...) }
