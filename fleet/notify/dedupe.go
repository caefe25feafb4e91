package notify

import "ghostlight/slo"

// dedupe decides what is new about a notification for those who were told of old: ""
// means nothing, so that repeats tell nobody twice. old is nil for a key never seen.
func dedupe(old *Notification, n Notification) Phase {
	switch {
	case old == nil && n.Status == Resolved:
		return Late
	case old == nil:
		return Fire
	case old.Status != n.Status && n.Status == Resolved:
		return Resolve
	case old.Status != n.Status:
		return Fire // it fails again
	case n.Status == Firing && old.Urgency == slo.Ticket && n.Urgency == slo.Page:
		return Fire // it can no longer wait for the morning
	case n.Status == Resolved && n.Finding != nil && (old.Finding == nil || old.Finding.Sales != n.Finding.Sales):
		return Revise
	}
	return ""
}
