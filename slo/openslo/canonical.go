package openslo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"

	"ghostlight/slo"
)

// objective is the objective of a valid document with its indicator in place.
func (s *sloDocument) objective() (slo.Objective, error) {
	ind, err := s.Spec.Indicator.Spec.indicator()
	if err != nil {
		return slo.Objective{}, err
	}
	window, err := s.Spec.TimeWindow[0].window()
	if err != nil {
		return slo.Objective{}, err
	}
	first := &s.Spec.Objectives[0]
	if first.TargetPercent != nil {
		target := percent(*first.TargetPercent)
		first.Target, first.TargetPercent = &target, nil
	}
	notes := s.Metadata.Annotations
	capacity, _ := strconv.ParseInt(notes[CapacityPerMinute], 10, 64) // absent is 0; else it was checked
	o := slo.Objective{
		Name: s.Metadata.Name, DisplayName: s.Metadata.DisplayName, Description: s.Spec.Description,
		Service: s.Spec.Service, Owner: notes[Owner], Target: *first.Target, Indicator: ind,
		Budgeting: slo.Method(s.Spec.BudgetingMethod), Window: window,
		PerEvent: notes[EventWindow] == "true", Capacity: capacity,
		Hash: slo.IndicatorHash(s.Metadata.Name, ind),
	}
	if o.DisplayName == "" {
		o.DisplayName = o.Name
	}
	if o.Document, err = s.canonical(); err != nil {
		return slo.Objective{}, fmt.Errorf("objective %s: %w", o.Name, err)
	}
	return o, o.Validate()
}

// canonical is the document as JSON: fields in a fixed order, maps by key, the
// target as a ratio, the indicator in place. Decoding it and encoding it again
// gives the same bytes.
func (s *sloDocument) canonical() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// percent is p/100, rounded once: 99.9 becomes exactly what 0.999 is.
func percent(p float64) float64 {
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(p, 'g', -1, 64))
	ratio, _ := exact.Quo(exact, big.NewRat(100, 1)).Float64()
	return ratio
}
