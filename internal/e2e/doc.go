// Package e2e shows the product working as its users run it: real processes,
// real ports, a real browser. It holds no product code.
//
// The quick start of the README runs with every test. What needs the tools of `make
// deps` and the build tag e2e: the demo under faults, with Chromium, promtool and the
// dashboards hanging on one shared run; and the doors, at which Prometheus as an agent,
// vmagent, the OpenTelemetry Collector's exporters and a sender of remote write 2.0
// knock while the fleet is killed. A missing tool fails a test, it never skips.
package e2e
