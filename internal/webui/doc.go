// Package webui is the look and the plumbing of every page: one stylesheet, a
// layout with partials, SVG charts, and live updates by server-sent events. It
// knows nothing of what the pages are about.
//
// It guarantees that a page works without scripts, without any resource from
// another origin and under a Content-Security-Policy that forbids inline code;
// that every chart has a title and a description and takes its colours from the
// theme; that a gap in a series is drawn as a gap; and that all text is escaped.
// It never fetches data and never computes what it shows.
package webui
