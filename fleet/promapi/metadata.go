package promapi

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
)

// maxFamilies bounds the metric families that metadata is kept of.
const maxFamilies = 100_000

// Metadata keeps the type, unit and help of metric families, which the time
// series database does not. The latest to arrive counts. Its methods may be called
// concurrently.
type Metadata struct {
	store *store.Store

	mu       sync.RWMutex
	families map[string]delta.Meta // guarded by mu; what is stored
}

// NewMetadata opens the metadata in st.
func NewMetadata(ctx context.Context, st *store.Store) (*Metadata, error) {
	err := st.Migrate(ctx, `CREATE TABLE IF NOT EXISTS metadata (family TEXT PRIMARY KEY, type INTEGER NOT NULL, unit TEXT NOT NULL, help TEXT NOT NULL) WITHOUT ROWID`)
	if err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	m := &Metadata{store: st, families: map[string]delta.Meta{}}
	rows, err := st.Read().QueryContext(ctx, `SELECT family, type, unit, help FROM metadata`)
	if err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var family string
		var meta delta.Meta
		if err := rows.Scan(&family, &meta.Type, &meta.Unit, &meta.Help); err != nil {
			return nil, fmt.Errorf("open metadata: %w", err)
		}
		m.families[family] = meta
	}
	return m, rows.Err()
}

// Learn stores what series say of themselves, where that is new.
func (m *Metadata) Learn(ctx context.Context, series []delta.Series) error {
	news := m.news(series)
	if len(news) == 0 {
		return nil
	}
	err := m.store.Write(ctx, func(tx *sql.Tx) error {
		for family, meta := range news {
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO metadata VALUES (?, ?, ?, ?)`, family, meta.Type, meta.Unit, meta.Help); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store metadata: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for family, meta := range news {
		m.families[family] = meta
	}
	return nil
}

// news picks what is not stored yet. Series that say nothing teach nothing.
func (m *Metadata) news(series []delta.Series) map[string]delta.Meta {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var news map[string]delta.Meta
	for _, s := range series {
		if s.Meta == (delta.Meta{}) {
			continue
		}
		family := familyOf(s)
		old, ok := m.families[family]
		if told, new := news[family]; new {
			old, ok = told, true
		}
		meta := complete(s.Meta, old)
		if family == "" || old == meta || (!ok && len(m.families)+len(news) >= maxFamilies) {
			continue
		}
		if news == nil {
			news = map[string]delta.Meta{}
		}
		news[family] = meta
	}
	return news
}

// complete takes unit and help from what is known where a node gives the type
// alone: it sends them only now and then.
func complete(told, known delta.Meta) delta.Meta {
	if told.Unit == "" && told.Help == "" && told.Type == known.Type {
		return known
	}
	return told
}

// suffixes of the series that one family of a type has.
var suffixes = map[delta.Type][]string{
	delta.Histogram: {"_bucket", "_sum", "_count"},
	delta.Summary:   {"_sum", "_count"},
}

// familyOf is the name of the metric family that a series belongs to.
func familyOf(s delta.Series) string {
	var name string
	for _, l := range s.Labels {
		if l.Name == "__name__" {
			name = l.Value
		}
	}
	for _, suffix := range suffixes[s.Meta.Type] {
		if family, ok := strings.CutSuffix(name, suffix); ok && family != "" {
			return family
		}
	}
	return name
}

// Family returns what is known of one metric family.
func (m *Metadata) Family(name string) (delta.Meta, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	meta, ok := m.families[name]
	return meta, ok
}

// names lists all families.
func (m *Metadata) names() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]string, 0, len(m.families))
	for name := range m.families {
		out = append(out, name)
	}
	return out
}
