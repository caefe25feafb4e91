package synthetics

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule tells when a journey runs next. Next is after t, strictly.
type Schedule interface {
	Next(t time.Time) time.Time
}

// ParseSchedule reads "@every 15s", "@hourly" and the like, five cron fields, or
// six with seconds first; "CRON_TZ=Europe/London " may stand in front. It refuses
// a schedule that never comes, such as the 30th of February.
func ParseSchedule(spec string) (Schedule, error) {
	for _, zone := range []string{"TZ=", "CRON_TZ="} {
		if strings.HasPrefix(spec, zone) && !strings.Contains(spec, " ") {
			return nil, fmt.Errorf("is %q: a schedule must follow the time zone", spec)
		}
	}
	if every, ok := strings.CutPrefix(spec, "@every "); ok { // the parser would round it without a word
		if d, err := time.ParseDuration(every); err == nil && (d < time.Second || d%time.Second != 0) {
			return nil, fmt.Errorf("is %q; allowed: whole seconds, 1s or more", spec)
		}
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	s, err := parser.Parse(spec)
	if err != nil {
		return nil, fmt.Errorf("is %q: %w; allowed: \"@every 15s\", or cron fields (seconds optional) such as \"*/5 * * * *\"", spec, err)
	}
	reference := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	if next := s.Next(reference); next.IsZero() || !next.After(reference) {
		return nil, errors.New("is a time that never comes")
	}
	return s, nil
}
