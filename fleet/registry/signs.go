package registry

import (
	"fmt"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

// goodbyeGrace is how long after a goodbye a block may still arrive that was on
// its way, without meaning that the node is back.
const goodbyeGrace = 2 * time.Second

// Heard notes a sign of src: any request that carried its credential.
func (r *Registry) Heard(src buffer.Source) error {
	return r.with(src, func(n *node, now time.Time) {
		r.sign(n, now, n.watch.goodbye && now.Sub(n.watch.last) < goodbyeGrace)
	})
}

// Heartbeat notes what a node says of itself. It returns the centre's clock.
func (r *Registry) Heartbeat(src buffer.Source, hb wire.Heartbeat) (received time.Time, err error) {
	err = r.with(src, func(n *node, now time.Time) {
		received = now
		n.view.Heartbeat, n.view.HeartbeatAt = hb, now
		r.tells(n, hb.SentMS, now)
		r.sign(n, now, hb.Goodbye)
	})
	return received, err
}

// Beat notes a sign of life that tells src's clock, Unix milliseconds. It returns
// the centre's.
func (r *Registry) Beat(src buffer.Source, sentMS int64) (received time.Time, err error) {
	err = r.with(src, func(n *node, now time.Time) {
		received = now
		r.tells(n, sentMS, now)
		r.sign(n, now, n.watch.goodbye && now.Sub(n.watch.last) < goodbyeGrace)
	})
	return received, err
}

// Conflict counts a block of src that was refused because its sequence holds
// another content: its data folder was cloned or restored.
func (r *Registry) Conflict(src buffer.Source) error {
	return r.with(src, func(n *node, _ time.Time) {
		n.view.Conflicts++
		r.announce()
	})
}

// Malformed counts a block of src that cannot be read.
func (r *Registry) Malformed(src buffer.Source) error {
	return r.with(src, func(n *node, _ time.Time) { n.view.Malformed++ })
}

func (r *Registry) with(src buffer.Source, fn func(n *node, now time.Time)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.nodes[src]
	if !ok {
		return fmt.Errorf("%w: %s", ErrUnknown, src)
	}
	fn(n, r.now())
	n.dirty = true
	return nil
}

// sign tells n's watch that the node was heard. r.mu is held.
func (r *Registry) sign(n *node, now time.Time, goodbye bool) {
	before, last := n.watch.presence(), n.watch.last
	if n.view.FirstSeen.IsZero() {
		n.view.FirstSeen = now
	}
	if ended := n.watch.sign(now, goodbye); ended != nil {
		n.episodes, n.lastDark = append(n.episodes, *ended), *ended
		r.log.Info("node is back", "source", n.view.Source.String(), "dark_for", ended.End.Sub(ended.Start).Round(time.Second).String())
	}
	after := n.watch.presence()
	if before == Away && after != Away {
		n.aways = append(n.aways, Episode{last, now})
	}
	if after != before {
		r.announce()
	}
}

// judge looks for nodes that fell silent.
func (r *Registry) judge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, src := range r.order {
		n := r.nodes[src]
		if begun := n.watch.judge(now); begun != nil {
			n.episodes = append(n.episodes, *begun)
			n.dirty = true
			r.log.Warn("node is dark", "source", src.String(), "since", begun.Start.Format(time.RFC3339))
			r.announce()
		}
	}
}
