// Package page is the node's own door on the venue LAN: its page, the same facts
// as JSON and as a live stream, a health check, and the flush that a planned stop
// asks for. It works without an uplink.
//
// It shows what other rooms know and computes nothing itself; it never changes
// anything but through POST /api/flush, which needs the node's own credential.
package page
