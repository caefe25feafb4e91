//go:build !linux

package wire

import "net"

// Patient does nothing here: other systems decide by themselves how long they hold
// back acknowledgements.
func Patient(net.Conn) {}
