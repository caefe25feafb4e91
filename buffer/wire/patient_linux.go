package wire

import (
	"net"

	"golang.org/x/sys/unix"
)

// Patient makes TCP hold back its acknowledgement of what comes next, for up to
// 40 ms: where an answer follows at once, one packet holds both, and one
// acknowledges several. It lasts until nothing follows in time; an error costs no
// more than packets and is not told. A nil conn, or one of another kind, is let be.
func Patient(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) })
}
