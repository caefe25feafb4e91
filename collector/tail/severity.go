package tail

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"
)

// ParseSeverity reads a level's name.
func ParseSeverity(name string) (plog.SeverityNumber, error) {
	switch name {
	case "trace":
		return plog.SeverityNumberTrace, nil
	case "debug":
		return plog.SeverityNumberDebug, nil
	case "info":
		return plog.SeverityNumberInfo, nil
	case "warn":
		return plog.SeverityNumberWarn, nil
	case "error":
		return plog.SeverityNumberError, nil
	}
	return 0, fmt.Errorf("%q is no level; allowed: trace, debug, info, warn, error", name)
}
