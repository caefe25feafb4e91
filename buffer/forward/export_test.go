package forward

import (
	"crypto/tls"
	"time"
)

// DialTLS is the dialer of streams with roots of its own.
func DialTLS(base, token string, roots *tls.Config) Dialer {
	d := newHTTP2Dialer(base, token, 5*time.Second)
	d.tls = roots.Clone()
	return d.dial
}
