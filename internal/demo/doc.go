// Package demo runs live venues on one machine: a fleet service, a regional hub
// and, for each venue, an edgecore and an agent as processes of their own with
// their own data folders, an uplink that can fail, and a crowd. It tells what
// happens, plays a scenario of faults, and at the end proves from the outside
// that nothing was lost.
//
// It acts as init: it starts units in order, restarts agents and the fleet by
// itself and edgecore and the hub only when asked over a Unix socket, and lets no
// process outlive it: children hold the reading end of a pipe that closes with
// the demo, however it ends.
//
// It knows the programs only by their configuration files and their APIs, so that
// what it counts at the end is what any client would see. It never heals a venue
// itself: a scenario breaks things, the venue's own agent mends them.
package demo
