package tsdb

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// maxLabelBytes bounds a label's name and value: longer ones would wrap around in
// VictoriaMetrics' encoding.
const maxLabelBytes = 1<<16 - 1

// maxNames bounds each generation of the cache of encoded names; maxListed bounds
// each of that of whole lists, in names.
const (
	maxNames  = 50_000
	maxListed = 200_000
)

var errLabels = errors.New("labels cannot name a series")

// names caches the encoded name of each series, in two generations: when the
// young one is full it becomes the old one, whose names are given up. The zero
// value is ready.
type names struct {
	mu    sync.Mutex
	young map[string][]byte // guarded by mu
	old   map[string][]byte // guarded by mu
	key   []byte            // guarded by mu; scratch

	youngLists map[listKey][][]byte // guarded by mu
	oldLists   map[listKey][][]byte // guarded by mu
	listed     int                  // guarded by mu; names in youngLists
}

// A listKey names a list of series: its hash, of the node that made it, so that a
// node that finds two lists of one hash hurts only itself.
type listKey struct {
	source buffer.Source
	hash   uint64
	length int
}

// list returns the names of series as VictoriaMetrics encodes them, nil for labels
// that cannot name one. hash is that of the series' names, 0 if it is not known.
// They are shared: nobody may write to them.
func (n *names) list(src buffer.Source, hash uint64, series []delta.Series) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := listKey{src, hash, len(series)}
	raws, ok := n.youngLists[key]
	if ok {
		return raws
	}
	if raws, ok = n.oldLists[key]; !ok {
		raws = make([][]byte, len(series))
		for i := range series {
			raws[i], _ = n.raw(src, series[i].Labels)
		}
	}
	if hash == 0 {
		return raws
	}
	if n.youngLists == nil || n.listed+len(raws) > maxListed {
		n.oldLists, n.youngLists, n.listed = n.youngLists, map[listKey][][]byte{}, 0
	}
	n.youngLists[key] = raws
	n.listed += len(raws)
	return raws
}

// raw returns the name of a series of src as VictoriaMetrics encodes it. n.mu is
// held.
func (n *names) raw(src buffer.Source, labels []delta.Label) ([]byte, error) {
	n.key = appendKey(n.key[:0], src, labels)
	if raw, ok := n.young[string(n.key)]; ok {
		return raw, nil
	}
	raw, ok := n.old[string(n.key)]
	if !ok {
		var err error
		if raw, err = encodeName(src, labels); err != nil {
			return nil, err
		}
	}
	if len(n.young) >= maxNames || n.young == nil {
		n.old, n.young = n.young, make(map[string][]byte)
	}
	n.young[string(n.key)] = raw
	return raw, nil
}

// appendKey joins what makes a name. 0xff is in no UTF-8 text; where it does occur
// a clash needs equal sources, which hurts only that source.
func appendKey(dst []byte, src buffer.Source, labels []delta.Label) []byte {
	for _, part := range []string{src.Region, src.Venue, src.Node} {
		dst = append(append(dst, part...), 0xff)
	}
	for _, l := range labels {
		dst = append(append(dst, l.Name...), 0xff)
		dst = append(append(dst, l.Value...), 0xff)
	}
	return dst
}

const metricName = "__name__"

func encodeName(src buffer.Source, labels []delta.Label) ([]byte, error) {
	identity := []prompb.Label{{Name: "region", Value: src.Region}, {Name: "venue", Value: src.Venue}, {Name: "node", Value: src.Node}}
	out := make([]prompb.Label, 0, len(labels)+len(identity))
	named := false
	for _, l := range labels {
		if l.Value == "" {
			continue // the same series as without the label
		}
		name := l.Name
		for slices.ContainsFunc(identity, func(id prompb.Label) bool { return id.Name == name }) || (name != l.Name && holds(labels, name)) {
			name = "exported_" + name
		}
		if name == "" || len(name) > maxLabelBytes || len(l.Value) > maxLabelBytes {
			return nil, errLabels
		}
		named = named || name == metricName
		out = append(out, prompb.Label{Name: name, Value: l.Value})
	}
	if !named {
		return nil, errLabels
	}
	out = append(out, identity...)
	slices.SortFunc(out, func(a, b prompb.Label) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return nil, errLabels
		}
	}
	return storage.MarshalMetricNameRaw(nil, out), nil
}

func holds(labels []delta.Label, name string) bool {
	return slices.ContainsFunc(labels, func(l delta.Label) bool { return l.Name == name && l.Value != "" })
}
