package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A venue is a network namespace with one way out, as the machine of a node has.
// Segments are not joined on it, so that its counters see the packets of a wire.
type venue struct {
	name   string // of the namespace
	device string // its way out, seen from here
	peer   string // the same, seen from inside
	here   string // our address
}

// linkHeader is what Ethernet puts before each packet.
const linkHeader = 14

// newVenue makes a namespace; close takes it away.
func newVenue(ctx context.Context) (*venue, error) {
	id := strconv.Itoa(os.Getpid() % 10000)
	v := &venue{name: "ghostlight-bench-" + id, device: "ghla" + id, peer: "ghlb" + id, here: "10.213.77.1"}
	for _, c := range []string{
		"netns add " + v.name,
		"link add " + v.device + " gso_max_segs 1 type veth peer name " + v.peer,
		"link set " + v.peer + " gso_max_segs 1 netns " + v.name,
		"addr add " + v.here + "/30 dev " + v.device,
		"-n " + v.name + " addr add 10.213.77.2/30 dev " + v.peer,
		"-n " + v.name + " link set lo up",
		"-n " + v.name + " link set " + v.peer + " up",
		"link set " + v.device + " up",
	} {
		if err := v.ip(ctx, c); err != nil {
			return nil, errors.Join(err, v.close())
		}
	}
	// What IPv6 says to itself is no traffic of ours.
	for _, do := range []func(func() error) error{func(f func() error) error { return f() }, v.enter} {
		for _, device := range []string{v.device, v.peer} {
			err := do(func() error {
				err := os.WriteFile("/proc/sys/net/ipv6/conf/"+device+"/disable_ipv6", []byte("1"), 0o644)
				if errors.Is(err, os.ErrNotExist) {
					return nil // the other end, or no IPv6 at all
				}
				return err
			})
			if err != nil {
				return nil, errors.Join(err, v.close())
			}
		}
	}
	return v, nil
}

func (v *venue) ip(ctx context.Context, args string) error {
	_, err := output(ctx, append([]string{"ip"}, strings.Fields(args)...)...)
	return err
}

// close takes the way out and the namespace away; by itself the former would go
// some time after the latter.
func (v *venue) close() error {
	ctx := context.Background()
	return errors.Join(v.ip(ctx, "link del "+v.device), v.ip(ctx, "netns del "+v.name))
}

// exec is what runs a program inside.
func (v *venue) exec() []string { return []string{"ip", "netns", "exec", v.name} }

// enter runs f on a thread that is inside: sockets it opens stay there.
func (v *venue) enter(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is never unlocked, so it ends with this goroutine.
		runtime.LockOSThread()
		file, err := os.Open("/var/run/netns/" + v.name)
		if err != nil {
			done <- err
			return
		}
		defer file.Close()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the namespace %s: %w", v.name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// listen opens a listener inside.
func (v *venue) listen(addr string) (ln net.Listener, err error) {
	err = v.enter(func() error {
		ln, err = net.Listen("tcp", addr)
		return err
	})
	return ln, err
}

// set takes the way out away, or gives it back.
func (v *venue) set(ctx context.Context, state string) error {
	return v.ip(ctx, "link set "+v.device+" "+state)
}

// slow bounds both directions, as a modem with a short queue does.
func (v *venue) slow(ctx context.Context, rate string) error {
	shape := strings.Fields("root tbf rate " + rate + " burst 4kb latency 400ms")
	_, err := output(ctx, append([]string{"tc", "qdisc", "replace", "dev", v.device}, shape...)...)
	if err == nil {
		_, err = output(ctx, append([]string{"tc", "-n", v.name, "qdisc", "replace", "dev", v.peer}, shape...)...)
	}
	return err
}

// traffic is what the way out has carried so far, both directions.
type traffic struct{ bytes, packets int64 } // bytes of IP

// traffic reads the counters.
func (v *venue) traffic() (sum traffic, err error) {
	for _, direction := range []string{"rx", "tx"} {
		var t traffic
		for name, to := range map[string]*int64{"bytes": &t.bytes, "packets": &t.packets} {
			text, err := os.ReadFile("/sys/class/net/" + v.device + "/statistics/" + direction + "_" + name)
			if err != nil {
				return sum, err
			}
			if *to, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
				return sum, err
			}
		}
		sum.bytes += t.bytes - t.packets*linkHeader
		sum.packets += t.packets
	}
	return sum, nil
}

// over is the traffic while f runs.
func (v *venue) over(f func() error) (traffic, error) {
	before, err := v.traffic()
	if err != nil {
		return traffic{}, err
	}
	if err := f(); err != nil {
		return traffic{}, err
	}
	after, err := v.traffic()
	return traffic{after.bytes - before.bytes, after.packets - before.packets}, err
}
