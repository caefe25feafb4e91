package wire_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"ghostlight/buffer/wire"
)

// hasty reports whether TCP would acknowledge at once.
func hasty(t *testing.T, conn net.Conn) bool {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var quick int
	if errControl := raw.Control(func(fd uintptr) { quick, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK) }); errControl != nil || err != nil {
		t.Fatal(errControl, err)
	}
	return quick != 0
}

func TestPatient(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if !hasty(t, conn) {
		t.Fatal("a new connection is patient already: the test shows nothing")
	}
	wire.Patient(conn)
	if hasty(t, conn) {
		t.Error("it acknowledges at once")
	}
	wire.Patient(nil) // is let be
}
