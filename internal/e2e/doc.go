// Package e2e shows the product working as its users run it: real processes,
// real ports, a real browser. It holds no product code.
//
// The quick start of the README runs with every test. The demo under faults, with
// Chromium, promtool and the dashboards hanging on one shared run, needs the tools
// of `make deps` and the build tag e2e; a missing tool fails it, it never skips.
package e2e
