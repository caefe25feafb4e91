package demo

import (
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// The two ways out of a venue.
const (
	routeFleet = "fleet"
	routeHub   = "hub"
)

// A region and its venues: names that a map of the fleet would show.
type region struct {
	name   string
	venues []string
}

func regions() []region {
	return []region{
		{"london", []string{"soho", "hackney", "brixton", "camden", "peckham", "shoreditch", "dalston", "islington", "clapham", "greenwich"}},
		{"manchester", []string{"ancoats", "didsbury", "chorlton", "salford", "withington", "fallowfield", "hulme", "levenshulme", "ardwick", "castlefield"}},
		{"bristol", []string{"clifton", "bedminster", "redland", "montpelier", "stokes-croft", "southville", "totterdown", "easton", "cotham", "hotwells"}},
		{"glasgow", []string{"partick", "finnieston", "dennistoun", "govan", "hillhead", "shawlands", "gorbals", "maryhill", "merchant-city", "ibrox"}},
		{"leeds", []string{"headingley", "holbeck", "chapel-allerton", "kirkstall", "meanwood", "hunslet", "harehills", "armley", "roundhay", "beeston"}},
		{"berlin", []string{"kreuzberg", "neukoelln", "mitte", "wedding", "moabit", "friedrichshain", "prenzlauer-berg", "pankow", "treptow", "schoeneberg"}},
	}
}

// MaxVenues is the most venues a demo can have.
const MaxVenues = 60

// portsPerVenue is the distance between the ports of two venues.
const portsPerVenue = 10

// layout says where everything of one demo is: folders, ports and secrets.
type layout struct {
	dir       string
	base      int // first port
	venues    []venue
	apiToken  string // for changing calls to the fleet
	hubToken  string
	synthetic string // key of the synthetic claims

	alertmanager string // where the fleet sends pages besides the pager; empty: nowhere
}

// venue is one venue with its node.
type venue struct {
	region, name, node string
	index              int
	base               int    // first of its ports
	token              string // the agent's credential
	adminToken         string
}

func newLayout(dir string, base, venues int) layout {
	l := layout{dir: dir, base: base, apiToken: rand.Text(), hubToken: rand.Text(), synthetic: rand.Text() + rand.Text()}
	for _, r := range regions() {
		for _, name := range r.venues {
			if i := len(l.venues); i < venues {
				l.venues = append(l.venues, venue{
					region: r.name, name: name, node: name + "-1", index: i, base: base + portsPerVenue*(i+1),
					token: rand.Text(), adminToken: rand.Text(),
				})
			}
		}
	}
	return l
}

// Ports of the centre.
func (l layout) fleetPort() int { return l.base }
func (l layout) hubPort() int   { return l.base + 1 }
func (l layout) pagerPort() int { return l.base + 2 }

// Ports of a venue.
func (v venue) toFleetPort() int  { return v.base }
func (v venue) toHubPort() int    { return v.base + 1 }
func (v venue) edgePort() int     { return v.base + 2 }
func (v venue) adminPort() int    { return v.base + 3 }
func (v venue) pagePort() int     { return v.base + 4 }
func (v venue) otlpGRPCPort() int { return v.base + 5 }
func (v venue) otlpHTTPPort() int { return v.base + 6 }

// Names of a venue's units.
func (v venue) edgecore() string { return "edgecore-" + v.name }
func (v venue) agent() string    { return "agent-" + v.name }

// Folders.
func (l layout) socket() string            { return filepath.Join(l.dir, "init.sock") }
func (l layout) logs() string              { return filepath.Join(l.dir, "logs") }
func (l layout) config(unit string) string { return filepath.Join(l.dir, "config", unit+".yaml") }
func (l layout) data(unit string) string   { return filepath.Join(l.dir, "data", unit) }
func (l layout) power(v venue) string      { return filepath.Join(l.dir, "power", v.name) }
func (l layout) cacheObjects(v venue) string {
	return filepath.Join(l.data(v.edgecore()), "cache", "objects")
}

func (l layout) venueNames() []string {
	out := make([]string, 0, len(l.venues))
	for _, v := range l.venues {
		out = append(out, v.name)
	}
	return out
}

func (l layout) venue(name string) (venue, bool) {
	for _, v := range l.venues {
		if v.name == name {
			return v, true
		}
	}
	return venue{}, false
}

// ports lists every port with what it is for.
func (l layout) ports() map[int]string {
	out := map[int]string{l.fleetPort(): "the fleet", l.hubPort(): "the hub", l.pagerPort(): "the pager"}
	for _, v := range l.venues {
		out[v.toFleetPort()] = v.name + "'s uplink to the fleet"
		out[v.toHubPort()] = v.name + "'s uplink to the hub"
		out[v.edgePort()] = v.name + "'s edgecore"
		out[v.adminPort()] = v.name + "'s edgecore admin"
		out[v.pagePort()] = v.name + "'s agent page"
		out[v.otlpGRPCPort()] = v.name + "'s OTLP door (gRPC)"
		out[v.otlpHTTPPort()] = v.name + "'s OTLP door (HTTP)"
	}
	return out
}

// addr is a loopback address; url is it as the base of an HTTP API.
func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
func url(port int) string  { return fmt.Sprintf("http://127.0.0.1:%d", port) }
