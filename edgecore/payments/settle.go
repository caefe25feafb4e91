package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"ghostlight/edgecore/settlement"
)

// Pending implements [settlement.Ledger].
func (l *Ledger) Pending(ctx context.Context, limit int) (string, []settlement.Entry, error) {
	l.mu.Lock()
	settled, head := l.settled, l.settleHead
	l.mu.Unlock()
	if head <= settled {
		return l.id, nil, nil
	}
	rows, err := l.read.QueryContext(ctx, `SELECT seq, type, payment_id, amount_minor, currency, time_ms FROM settlements
		WHERE seq > ? ORDER BY seq LIMIT ?`, settled, limit)
	if err != nil {
		return "", nil, fmt.Errorf("read settlements: %w", err)
	}
	defer rows.Close()
	var entries []settlement.Entry
	for rows.Next() {
		var e settlement.Entry
		if err := rows.Scan(&e.Seq, &e.Type, &e.PaymentID, &e.AmountMinor, &e.Currency, &e.TimeMS); err != nil {
			return "", nil, fmt.Errorf("read settlements: %w", err)
		}
		entries = append(entries, e)
	}
	return l.id, entries, rows.Err()
}

// Settled implements [settlement.Ledger]. The mark may move back, when the hub
// has lost what it held; it is refused beyond the ledger's own head, which would
// mean that this ledger has lost entries.
func (l *Ledger) Settled(ctx context.Context, through int64) error {
	l.mu.Lock()
	settled, head := l.settled, l.settleHead
	l.mu.Unlock()
	switch {
	case through == settled:
		return nil
	case through < 0 || through > head:
		return fmt.Errorf("the hub holds settlements up to %d where this ledger ends at %d: was it restored from an old copy?", through, head)
	}
	_, err := l.do(ctx, Outcome{}, func(t *txn) (answer, error) {
		if err := t.exec(`UPDATE meta SET value = ? WHERE key = ?`, through, metaSettled); err != nil {
			return answer{}, err
		}
		m := mark{through: through}
		_, err := t.row(`SELECT time_ms FROM settlements WHERE seq > ? ORDER BY seq LIMIT 1`, []any{through}, []any{&m.oldest})
		t.settled = &m
		return answer{}, err
	})
	return err
}

// oldestPending is the time of the oldest settlement after the mark, Unix ms; 0
// if there is none.
func (l *Ledger) oldestPending(ctx context.Context, settled int64) (ms int64, err error) {
	err = l.read.QueryRowContext(ctx, `SELECT time_ms FROM settlements WHERE seq > ? ORDER BY seq LIMIT 1`, settled).Scan(&ms)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return ms, err
}
