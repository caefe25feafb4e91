// Package incidents runs the node's own burn alerts and incidents, whether or not
// anybody can hear it.
//
// It follows the SLI buckets that are stored, the journeys' runs, the answers of
// edgecore and what healing tried. An alert or a journey that fails again and again
// opens an incident; its stages go up as records of the revenue lane, in one
// transaction with the state that says how to go on. So a restart changes nothing:
// ids and keys stay, nothing fires twice, nothing is told that is not stored.
//
// It never looks at the uplink, and never guesses: a stage is reached when what it
// stands for was seen, and is dated by what was seen. See DESIGN.md of the collector.
package incidents
