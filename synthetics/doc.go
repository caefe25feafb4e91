// Package synthetics runs journeys: scripted visits to a service over HTTP and
// WebSocket that prove it works the way its users need it to.
//
// A journey is a YAML file of steps. A step sends one request, or holds one
// conversation on a WebSocket; it checks what came back with CEL expressions and
// keeps parts of it as variables for the steps after it. Everything that can be
// wrong with a journey, expressions and variable names included, is reported when
// it is decoded, with file, line and field.
//
// What it guarantees: a run ends within the journey's timeout; what it reads is
// bounded; a failed run names the step, the expression that was false and the
// values in it; and no goroutine outlives a run. Requests carry a W3C traceparent,
// so a run is one trace together with the spans of the service, and, where the
// runner was given a key, a signed claim that they are synthetic.
//
// What it never does: follow a redirect that the journey did not ask for, repeat a
// request, or keep cookies between runs.
package synthetics
