package openslo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
)

// canonical is the document as JSON: fields in a fixed order, maps by key, the
// target as a ratio, indicator and alerts in place. Decoding it and encoding it
// again gives the same bytes.
func (s *sloDocument) canonical(target float64) ([]byte, error) {
	doc := *s
	doc.Spec.Objectives = slices.Clone(s.Spec.Objectives)
	ratio := number(target)
	doc.Spec.Objectives[0].Target, doc.Spec.Objectives[0].TargetPercent = &ratio, nil
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("write objective %s: %w", s.Metadata.Name, err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// percent is p/100, rounded once: 99.9 becomes exactly what 0.999 is.
func percent(p float64) float64 {
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(p, 'g', -1, 64))
	ratio, _ := exact.Quo(exact, big.NewRat(100, 1)).Float64()
	return ratio
}
