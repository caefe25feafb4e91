package ics

import (
	"fmt"
	"strings"
	"time"
)

// zones are the time zones that a file speaks of.
type zones struct {
	floating *time.Location            // of times that name none
	known    map[string]*time.Location // by TZID; nil: not known
}

func newZones(f *file, floating *time.Location) *zones {
	z := &zones{floating: floating, known: map[string]*time.Location{}}
	for _, b := range f.zones {
		id, ok := b.get("TZID")
		if !ok {
			continue
		}
		// The rules that a file states are those of a zone that it names by some
		// name of its own; the name of the region says the same, and for all years.
		if at, ok := b.get("X-LIC-LOCATION"); ok && locate(id.value) == nil {
			z.known[id.value] = locate(at.value)
		}
	}
	if f.zone != "" {
		if loc := z.find(f.zone); loc != nil {
			z.floating = loc
		}
	}
	return z
}

// find returns the zone of a TZID, nil if nobody knows it.
func (z *zones) find(id string) *time.Location {
	loc, ok := z.known[id]
	if !ok {
		loc = locate(id)
		z.known[id] = loc
	}
	return loc
}

// locate knows a zone by its IANA name, also at the end of a global id such as
// /example.org/20240101/Europe/Berlin, and by the name that Windows has for it.
func locate(id string) *time.Location {
	id = strings.TrimSpace(id)
	if name, ok := windowsZones[id]; ok {
		id = name
	}
	for parts := strings.Split(id, "/"); len(parts) > 0 && len(parts) < 12; parts = parts[1:] {
		name := strings.Join(parts, "/")
		if len(parts) == 1 && name != id || name == "" || name == "Local" {
			continue // the last part by itself names no region
		}
		if loc, err := time.LoadLocation(name); err == nil {
			return loc
		}
	}
	return nil
}

// windowsZones are the zones that calendars made on Windows name, by Unicode CLDR's
// windowsZones with territory 001.
var windowsZones = map[string]string{
	"AUS Eastern Standard Time": "Australia/Sydney", "Alaskan Standard Time": "America/Anchorage", "Arab Standard Time": "Asia/Riyadh",
	"Arabian Standard Time": "Asia/Dubai", "Argentina Standard Time": "America/Buenos_Aires", "Atlantic Standard Time": "America/Halifax",
	"Canada Central Standard Time": "America/Regina", "Cen. Australia Standard Time": "Australia/Adelaide",
	"Central America Standard Time": "America/Guatemala", "Central Europe Standard Time": "Europe/Budapest",
	"Central European Standard Time": "Europe/Warsaw", "Central Standard Time": "America/Chicago",
	"Central Standard Time (Mexico)": "America/Mexico_City", "China Standard Time": "Asia/Shanghai",
	"E. Australia Standard Time": "Australia/Brisbane", "E. Europe Standard Time": "Europe/Chisinau",
	"E. South America Standard Time": "America/Sao_Paulo", "Eastern Standard Time": "America/New_York", "Egypt Standard Time": "Africa/Cairo",
	"FLE Standard Time": "Europe/Kiev", "GMT Standard Time": "Europe/London", "GTB Standard Time": "Europe/Bucharest",
	"Greenwich Standard Time": "Atlantic/Reykjavik", "Hawaiian Standard Time": "Pacific/Honolulu", "India Standard Time": "Asia/Calcutta",
	"Israel Standard Time": "Asia/Jerusalem", "Korea Standard Time": "Asia/Seoul", "Morocco Standard Time": "Africa/Casablanca",
	"Mountain Standard Time": "America/Denver", "New Zealand Standard Time": "Pacific/Auckland", "Newfoundland Standard Time": "America/St_Johns",
	"Pacific SA Standard Time": "America/Santiago", "Pacific Standard Time": "America/Los_Angeles", "Romance Standard Time": "Europe/Paris",
	"Russian Standard Time": "Europe/Moscow", "SA Pacific Standard Time": "America/Bogota", "SE Asia Standard Time": "Asia/Bangkok",
	"Singapore Standard Time": "Asia/Singapore", "South Africa Standard Time": "Africa/Johannesburg", "Taipei Standard Time": "Asia/Taipei",
	"Tokyo Standard Time": "Asia/Tokyo", "Turkey Standard Time": "Europe/Istanbul", "US Mountain Standard Time": "America/Phoenix", "UTC": "Etc/UTC",
	"W. Australia Standard Time": "Australia/Perth", "W. Europe Standard Time": "Europe/Berlin",
}

// A moment is a time as a calendar has it: on the clock of a zone.
type moment struct {
	wall time.Time // what the clock shows, as if it were UTC
	zone *time.Location
	date bool // a whole day: it begins at midnight
}

// at is the instant of a moment.
func (m moment) at() time.Time { return instant(m.wall, m.zone) }

// instant is when a clock shows wall. What it shows twice is the first time, and
// what it jumps over is as far after the jump as the clock was before. Source: RFC
// 5545, 3.3.5.
func instant(wall time.Time, zone *time.Location) time.Time {
	y, mo, d := wall.Date()
	t := time.Date(y, mo, d, wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	began, _ := t.ZoneBounds()
	if began.IsZero() {
		return t
	}
	_, before := began.Add(-time.Second).Zone()
	_, now := t.Zone()
	// With the offset before the last change; the same clock, or a jumped one.
	if first := t.Add(time.Duration(now-before) * time.Second); first.Before(began) && sameClock(first, wall) {
		return first
	}
	return t
}

func sameClock(t, wall time.Time) bool { return clock(t).Equal(wall) }

// clock is what the clock of t's zone shows, as if it were UTC.
func clock(t time.Time) time.Time {
	y, mo, d := t.Date()
	return time.Date(y, mo, d, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// moment reads a DATE or DATE-TIME. Source: RFC 5545, 3.3.4 and 3.3.5.
func (z *zones) moment(p property, value string) (moment, error) {
	m := moment{zone: z.floating}
	if id := p.param("TZID"); id != "" {
		if m.zone = z.find(id); m.zone == nil {
			return m, fmt.Errorf("%s: time zone %s is unknown; use a name such as Europe/Berlin", p.name, clip(id))
		}
	}
	var err error
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(p.param("VALUE"), "DATE") || len(value) == len("20060102"):
		m.date = true
		m.wall, err = time.Parse("20060102", value)
	case strings.HasSuffix(value, "Z"):
		m.zone = time.UTC
		m.wall, err = time.Parse("20060102T150405Z", value)
	default:
		m.wall, err = time.Parse("20060102T150405", value)
	}
	if err != nil {
		return m, fmt.Errorf("%s: %s is no time; allowed: 20260829T193000, with a Z for UTC, or a date", p.name, clip(value))
	}
	if y := m.wall.Year(); y < minYear || y > maxYear {
		return m, fmt.Errorf("%s: the year %d is not from %d to %d", p.name, y, minYear, maxYear)
	}
	return m, nil
}

// Years that a calendar may speak of.
const (
	minYear = 1970
	maxYear = 2100
)
