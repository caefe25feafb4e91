package openslo

const (
	apiVersion      = "openslo/v1"
	kindSLO         = "SLO"
	kindSLI         = "SLI"
	kindService     = "Service"
	kindDataSource  = "DataSource"
	kindAlertPolicy = "AlertPolicy"
	kindCondition   = "AlertCondition"
	kindTarget      = "AlertNotificationTarget"
)

// Kinds lists the kinds of documents that OpenSLO v1 has.
func Kinds() []string {
	return []string{kindAlertPolicy, kindCondition, kindTarget, kindDataSource, kindSLI, kindSLO, kindService}
}

// sloDocument is a document of kind SLO, field by field as OpenSLO v1 has it.
type sloDocument struct {
	APIVersion text     `yaml:"apiVersion" json:"apiVersion"`
	Kind       text     `yaml:"kind" json:"kind"`
	Metadata   metadata `yaml:"metadata" json:"metadata"`
	Spec       sloSpec  `yaml:"spec" json:"spec"`
}

// sliDocument is a document of kind SLI.
type sliDocument struct {
	APIVersion text     `yaml:"apiVersion"`
	Kind       text     `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       sliSpec  `yaml:"spec"`
}

type serviceDocument struct {
	APIVersion text     `yaml:"apiVersion"`
	Kind       text     `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		Description text `yaml:"description"`
	} `yaml:"spec"`
}

type dataSourceDocument struct {
	APIVersion text     `yaml:"apiVersion"`
	Kind       text     `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		Description       text `yaml:"description"`
		Type              text `yaml:"type"`
		ConnectionDetails any  `yaml:"connectionDetails"`
	} `yaml:"spec"`
}

type policyDocument struct {
	APIVersion text       `yaml:"apiVersion"`
	Kind       text       `yaml:"kind"`
	Metadata   metadata   `yaml:"metadata"`
	Spec       policySpec `yaml:"spec"`
}

type conditionDocument struct {
	APIVersion text          `yaml:"apiVersion"`
	Kind       text          `yaml:"kind"`
	Metadata   metadata      `yaml:"metadata"`
	Spec       conditionSpec `yaml:"spec"`
}

type targetDocument struct {
	APIVersion text       `yaml:"apiVersion"`
	Kind       text       `yaml:"kind"`
	Metadata   metadata   `yaml:"metadata"`
	Spec       targetSpec `yaml:"spec"`
}

type metadata struct {
	Name        text            `yaml:"name" json:"name"`
	DisplayName text            `yaml:"displayName" json:"displayName,omitempty"`
	Labels      map[string]list `yaml:"labels" json:"labels,omitempty"`
	Annotations map[string]text `yaml:"annotations" json:"annotations,omitempty"`
}

type sloSpec struct {
	Description     text         `yaml:"description" json:"description,omitempty"`
	Service         text         `yaml:"service" json:"service,omitempty"`
	Indicator       *indicator   `yaml:"indicator" json:"indicator,omitempty"`
	IndicatorRef    *text        `yaml:"indicatorRef" json:"-"`
	TimeWindow      []timeWindow `yaml:"timeWindow" json:"timeWindow"`
	BudgetingMethod text         `yaml:"budgetingMethod" json:"budgetingMethod"`
	Objectives      []objective  `yaml:"objectives" json:"objectives"`
	AlertPolicies   []policyItem `yaml:"alertPolicies" json:"alertPolicies,omitempty"`
}

type indicator struct {
	Metadata metadata `yaml:"metadata" json:"metadata"`
	Spec     sliSpec  `yaml:"spec" json:"spec"`
}

type sliSpec struct {
	Description     text         `yaml:"description" json:"description,omitempty"`
	RatioMetric     *ratioMetric `yaml:"ratioMetric" json:"ratioMetric,omitempty"`
	ThresholdMetric *metric      `yaml:"thresholdMetric" json:"thresholdMetric,omitempty"`
}

type ratioMetric struct {
	Counter *flag   `yaml:"counter" json:"counter,omitempty"`
	Good    *metric `yaml:"good" json:"good,omitempty"`
	Bad     *metric `yaml:"bad" json:"bad,omitempty"`
	Total   *metric `yaml:"total" json:"total,omitempty"`
	Raw     *metric `yaml:"raw" json:"-"`
	RawType text    `yaml:"rawType" json:"-"`
}

type metric struct {
	MetricSource metricSource `yaml:"metricSource" json:"metricSource"`
}

type metricSource struct {
	MetricSourceRef text           `yaml:"metricSourceRef" json:"-"`
	Type            text           `yaml:"type" json:"type"`
	Spec            map[string]any `yaml:"spec" json:"spec"`
}

type timeWindow struct {
	Duration  shorthand `yaml:"duration" json:"duration"`
	IsRolling *flag     `yaml:"isRolling" json:"isRolling,omitempty"`
	Calendar  *calendar `yaml:"calendar" json:"calendar,omitempty"`
}

type calendar struct {
	StartTime text `yaml:"startTime" json:"startTime"`
	TimeZone  text `yaml:"timeZone" json:"timeZone"`
}

type objective struct {
	DisplayName     text       `yaml:"displayName" json:"displayName,omitempty"`
	Op              text       `yaml:"op" json:"op,omitempty"`
	Value           *number    `yaml:"value" json:"value,omitempty"`
	Target          *number    `yaml:"target" json:"target,omitempty"`
	TargetPercent   *number    `yaml:"targetPercent" json:"-"`
	TimeSliceTarget *number    `yaml:"timeSliceTarget" json:"timeSliceTarget,omitempty"`
	TimeSliceWindow *shorthand `yaml:"timeSliceWindow" json:"timeSliceWindow,omitempty"`
	Indicator       *indicator `yaml:"indicator" json:"-"`
	IndicatorRef    *text      `yaml:"indicatorRef" json:"-"`
	CompositeWeight *number    `yaml:"compositeWeight" json:"-"`
}

// policyItem is an alert policy by reference or in place.
type policyItem struct {
	AlertPolicyRef *text       `yaml:"alertPolicyRef" json:"alertPolicyRef,omitempty"`
	Kind           *text       `yaml:"kind" json:"kind,omitempty"`
	Metadata       *metadata   `yaml:"metadata" json:"metadata,omitempty"`
	Spec           *policySpec `yaml:"spec" json:"spec,omitempty"`
}

type policySpec struct {
	Description         text            `yaml:"description" json:"description,omitempty"`
	AlertWhenNoData     flag            `yaml:"alertWhenNoData" json:"alertWhenNoData,omitempty"`
	AlertWhenBreaching  flag            `yaml:"alertWhenBreaching" json:"alertWhenBreaching,omitempty"`
	AlertWhenResolved   flag            `yaml:"alertWhenResolved" json:"alertWhenResolved,omitempty"`
	Conditions          []conditionItem `yaml:"conditions" json:"conditions,omitempty"`
	NotificationTargets []targetItem    `yaml:"notificationTargets" json:"notificationTargets,omitempty"`
}

type conditionItem struct {
	ConditionRef *text          `yaml:"conditionRef" json:"conditionRef,omitempty"`
	Kind         *text          `yaml:"kind" json:"kind,omitempty"`
	Metadata     *metadata      `yaml:"metadata" json:"metadata,omitempty"`
	Spec         *conditionSpec `yaml:"spec" json:"spec,omitempty"`
}

type conditionSpec struct {
	Severity    text          `yaml:"severity" json:"severity"`
	Condition   conditionType `yaml:"condition" json:"condition"`
	Description text          `yaml:"description" json:"description,omitempty"`
}

type conditionType struct {
	Kind           text       `yaml:"kind" json:"kind"`
	Op             text       `yaml:"op" json:"op"`
	Threshold      *number    `yaml:"threshold" json:"threshold"`
	LookbackWindow shorthand  `yaml:"lookbackWindow" json:"lookbackWindow"`
	AlertAfter     *shorthand `yaml:"alertAfter" json:"alertAfter,omitempty"`
}

type targetItem struct {
	TargetRef *text       `yaml:"targetRef" json:"targetRef,omitempty"`
	Kind      *text       `yaml:"kind" json:"kind,omitempty"`
	Metadata  *metadata   `yaml:"metadata" json:"metadata,omitempty"`
	Spec      *targetSpec `yaml:"spec" json:"spec,omitempty"`
}

type targetSpec struct {
	Description text `yaml:"description" json:"description,omitempty"`
	Target      text `yaml:"target" json:"target"`
}
