package openslo

import "fmt"

// Prefix is that of Ghostlight's own annotations.
const Prefix = "ghostlight.dev/"

// Annotations that this package reads; any other below [Prefix] is refused.
const (
	EventWindow       = Prefix + "event-window"        // "true": also judged for each show on its own
	CapacityPerMinute = Prefix + "capacity-per-minute" // most events a minute of one node can hold
	Owner             = Prefix + "owner"               // whom to ask
)

const (
	apiVersion = "openslo/v1"
	kindSLO    = "SLO"
	kindSLI    = "SLI"
)

// sloDocument is a document of kind SLO, field by field as OpenSLO v1 has it.
type sloDocument struct {
	APIVersion string   `yaml:"apiVersion" json:"apiVersion"`
	Kind       string   `yaml:"kind" json:"kind"`
	Metadata   metadata `yaml:"metadata" json:"metadata"`
	Spec       sloSpec  `yaml:"spec" json:"spec"`
}

// sliDocument is a document of kind SLI.
type sliDocument struct {
	APIVersion string   `yaml:"apiVersion" json:"apiVersion"`
	Kind       string   `yaml:"kind" json:"kind"`
	Metadata   metadata `yaml:"metadata" json:"metadata"`
	Spec       sliSpec  `yaml:"spec" json:"spec"`
}

type metadata struct {
	Name        string            `yaml:"name" json:"name"`
	DisplayName string            `yaml:"displayName" json:"displayName,omitempty"`
	Labels      map[string]values `yaml:"labels" json:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations" json:"annotations,omitempty"`
}

// values is one string or a list of them.
type values []string

// UnmarshalYAML reads either form.
func (v *values) UnmarshalYAML(decode func(any) error) error {
	var one string
	if decode(&one) == nil {
		*v = values{one}
		return nil
	}
	var many []string
	if err := decode(&many); err != nil {
		return fmt.Errorf("must be text or a list of texts")
	}
	*v = many
	return nil
}

type sloSpec struct {
	Description     string       `yaml:"description" json:"description,omitempty"`
	Service         string       `yaml:"service" json:"service,omitempty"`
	Indicator       *indicator   `yaml:"indicator" json:"indicator,omitempty"`
	IndicatorRef    string       `yaml:"indicatorRef" json:"-"`
	TimeWindow      []timeWindow `yaml:"timeWindow" json:"timeWindow"`
	BudgetingMethod string       `yaml:"budgetingMethod" json:"budgetingMethod"`
	Objectives      []objective  `yaml:"objectives" json:"objectives"`
	AlertPolicies   []any        `yaml:"alertPolicies" json:"-"`
}

type indicator struct {
	Metadata metadata `yaml:"metadata" json:"metadata"`
	Spec     sliSpec  `yaml:"spec" json:"spec"`
}

type sliSpec struct {
	Description     string         `yaml:"description" json:"description,omitempty"`
	RatioMetric     *ratioMetric   `yaml:"ratioMetric" json:"ratioMetric,omitempty"`
	ThresholdMetric map[string]any `yaml:"thresholdMetric" json:"-"`
}

type ratioMetric struct {
	Counter *bool   `yaml:"counter" json:"counter,omitempty"`
	Good    *metric `yaml:"good" json:"good,omitempty"`
	Bad     *metric `yaml:"bad" json:"-"`
	Total   *metric `yaml:"total" json:"total,omitempty"`
	Raw     *metric `yaml:"raw" json:"-"`
	RawType string  `yaml:"rawType" json:"-"`
}

type metric struct {
	MetricSource metricSource `yaml:"metricSource" json:"metricSource"`
}

type metricSource struct {
	MetricSourceRef string         `yaml:"metricSourceRef" json:"-"`
	Type            string         `yaml:"type" json:"type"`
	Spec            map[string]any `yaml:"spec" json:"spec"`
}

type timeWindow struct {
	Duration  string    `yaml:"duration" json:"duration"`
	IsRolling *bool     `yaml:"isRolling" json:"isRolling,omitempty"`
	Calendar  *calendar `yaml:"calendar" json:"calendar,omitempty"`
}

type calendar struct {
	StartTime string `yaml:"startTime" json:"startTime"`
	TimeZone  string `yaml:"timeZone" json:"timeZone"`
}

type objective struct {
	DisplayName     string     `yaml:"displayName" json:"displayName,omitempty"`
	Op              string     `yaml:"op" json:"-"`
	Value           *float64   `yaml:"value" json:"-"`
	Target          *float64   `yaml:"target" json:"target,omitempty"`
	TargetPercent   *float64   `yaml:"targetPercent" json:"-"`
	TimeSliceTarget *float64   `yaml:"timeSliceTarget" json:"-"`
	TimeSliceWindow string     `yaml:"timeSliceWindow" json:"-"`
	Indicator       *indicator `yaml:"indicator" json:"-"`
	IndicatorRef    string     `yaml:"indicatorRef" json:"-"`
	CompositeWeight *float64   `yaml:"compositeWeight" json:"-"`
}
