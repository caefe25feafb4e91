package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ghostlight/internal/daemon"
)

// The test binary plays the units and a supervisor's process when it is told to.
const playEnv = "DEMO_TEST_PLAY"

func TestMain(m *testing.M) {
	switch os.Getenv(playEnv) {
	case "":
		os.Exit(m.Run())
	case "daemon": // ends well on SIGTERM or when its lifeline closes
		os.Exit(daemon.Main("unit", func(ctx context.Context) error {
			fmt.Println("up")
			<-ctx.Done()
			return nil
		}))
	case "stubborn": // ignores SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("up")
		select {}
	case "crash":
		fmt.Println("out of luck")
		os.Exit(3)
	case "supervisor":
		playSupervisor()
	}
}

// playSupervisor supervises two daemons, prints their pids and waits for its
// own death.
func playSupervisor() {
	dir := os.Getenv("DEMO_TEST_DIR")
	s, err := NewSupervisor(dir, nil)
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"lively", "suspended"} {
		if err := s.Start(play(name, "daemon", OnRequest)); err != nil {
			panic(err)
		}
	}
	for !strings.Contains(read(dir, "lively")+"|"+read(dir, "suspended"), "up\n|up") {
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Signal("suspended", syscall.SIGSTOP); err != nil {
		panic(err)
	}
	for !isSuspended(s.Units()[1].PID) {
		time.Sleep(10 * time.Millisecond)
	}
	for _, u := range s.Units() {
		fmt.Println(u.PID)
	}
	select {}
}

func read(dir, unit string) string {
	text, err := os.ReadFile(filepath.Join(dir, unit+".log"))
	if err != nil {
		return ""
	}
	return string(text)
}

func play(name, part string, policy Policy) Spec {
	return Spec{Name: name, Path: os.Args[0], Env: []string{playEnv + "=" + part}, Restart: policy}
}

// eventually polls for at most twenty seconds: real processes take their time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within 20 s", what)
		}
	}
}

// supervise runs a supervisor for one test and returns it with its log folder
// and what it notified.
func supervise(t *testing.T) (*Supervisor, string, func() []Event) {
	t.Helper()
	var (
		mu     sync.Mutex
		events []Event
	)
	dir := t.TempDir()
	s, err := NewSupervisor(dir, func(e Event) { mu.Lock(); events = append(events, e); mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	s.grace = 300 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		pids := map[string]int{}
		for _, u := range s.Units() {
			pids[u.Name] = u.PID
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		for name, pid := range pids {
			if pid != 0 && syscall.Kill(pid, 0) == nil {
				t.Errorf("%s (%d) outlived its supervisor", name, pid)
			}
		}
	})
	return s, dir, func() []Event { mu.Lock(); defer mu.Unlock(); return append([]Event(nil), events...) }
}

func status(s *Supervisor, name string) UnitStatus {
	for _, u := range s.Units() {
		if u.Name == name {
			return u
		}
	}
	return UnitStatus{}
}

func startUp(t *testing.T, s *Supervisor, dir string, spec Spec) {
	t.Helper()
	if err := s.Start(spec); err != nil {
		t.Fatal(err)
	}
	eventually(t, spec.Name+" up", func() bool { return strings.Contains(read(dir, spec.Name), "up") })
}

func TestUnitThatDiesComesBackOnlyIfItsPolicySaysSo(t *testing.T) {
	s, dir, events := supervise(t)
	startUp(t, s, dir, play("agent", "daemon", Always))
	startUp(t, s, dir, play("edgecore", "daemon", OnRequest))
	first := status(s, "agent").PID
	for _, name := range []string{"agent", "edgecore"} {
		if err := s.Signal(name, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "agent restarted", func() bool { u := status(s, "agent"); return u.State == Running && u.Restarts == 1 })
	if pid := status(s, "agent").PID; pid == first || pid == 0 {
		t.Errorf("pid %d after %d", pid, first)
	}
	eventually(t, "edgecore down", func() bool { return status(s, "edgecore").State == Failed })
	if u := status(s, "edgecore"); u.Restarts != 0 || u.PID != 0 {
		t.Errorf("edgecore %+v", u)
	}
	if err := s.Signal("edgecore", syscall.SIGTERM); err == nil {
		t.Error("a unit that does not run was signalled")
	}
	var told bool
	for _, e := range events() {
		told = told || e.Unit == "edgecore" && e.State == Failed && e.How == "signal: killed"
	}
	if !told {
		t.Errorf("nobody was told: %+v", events())
	}
}

func TestCrashLoopBacksOff(t *testing.T) {
	s, dir, _ := supervise(t)
	if err := s.Start(play("agent", "crash", Always)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	eventually(t, "two restarts", func() bool { return status(s, "agent").Restarts >= 2 })
	if took := time.Since(begun); took < 3*firstBackoff {
		t.Errorf("two restarts within %v: the pause does not grow", took)
	}
	if log := read(dir, "agent"); !strings.Contains(log, "out of luck") {
		t.Errorf("log %q", log)
	}
}

func TestRestartOverTheSocket(t *testing.T) {
	s, dir, events := supervise(t)
	socket := filepath.Join(dir, "init.sock")
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.ServeSocket(ctx, socket) }()
	t.Cleanup(func() { cancel(); <-served })
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	eventually(t, "socket", func() bool { _, err := os.Stat(socket); return err == nil })
	call := func(method, path string, out any) int {
		t.Helper()
		req, err := http.NewRequest(method, "http://init"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}

	startUp(t, s, dir, play("edgecore-soho", "daemon", OnRequest))
	startUp(t, s, dir, play("edgecore-hackney", "stubborn", OnRequest))
	for name, prepare := range map[string]func(){
		"edgecore-soho":    func() { s.Signal("edgecore-soho", syscall.SIGSTOP) }, // hangs
		"edgecore-hackney": func() {},                                             // ignores SIGTERM
	} {
		before := status(s, name)
		prepare()
		var after UnitStatus
		if code := call("POST", "/units/"+name+"/restart", &after); code != 200 {
			t.Fatalf("%s: status %d", name, code)
		}
		if after.State != Running || after.Restarts != 1 || after.PID == before.PID || syscall.Kill(before.PID, 0) == nil {
			t.Errorf("%s before %+v, after %+v", name, before, after)
		}
	}
	if err := s.Signal("edgecore-soho", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "death", func() bool { return status(s, "edgecore-soho").State == Failed })
	var after UnitStatus
	if code := call("POST", "/units/edgecore-soho/restart", &after); code != 200 || after.State != Running {
		t.Errorf("restart of a dead unit: %d %+v", code, after)
	}
	var list []UnitStatus
	if code := call("GET", "/units", &list); code != 200 || len(list) != 2 || list[0].Name != "edgecore-soho" || list[0].Restarts != 2 {
		t.Errorf("units %+v", list)
	}
	var refusal map[string]string
	if code := call("POST", "/units/nobody/restart", &refusal); code != 404 || refusal["error"] == "" {
		t.Errorf("unknown unit: %d %v", code, refusal)
	}
	var asked int
	for _, e := range events() {
		if e.Asked {
			asked++
		}
	}
	if asked != 3 {
		t.Errorf("%d asked restarts told, want 3", asked)
	}
}

func TestUsageAddsUpOverIncarnations(t *testing.T) {
	s, dir, _ := supervise(t)
	s.grace = 20 * time.Second
	startUp(t, s, dir, play("agent", "daemon", OnRequest))
	eventually(t, "a sample", func() bool { return s.Processes()[0].PeakRSSBytes > 1<<20 })
	if err := s.Restart(t.Context(), "agent"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second incarnation up", func() bool { return strings.Count(read(dir, "agent"), "up") == 2 })
	s.Stop("agent")
	p := s.Processes()[0]
	if p.Restarts != 1 || p.CPUSeconds <= 0 || p.PeakRSSBytes < 1<<20 {
		t.Errorf("usage %+v", p)
	}
	if u := status(s, "agent"); u.State != Stopped || u.PID != 0 {
		t.Errorf("after Stop: %+v", u)
	}
	if err := s.Restart(t.Context(), "agent"); err == nil {
		t.Error("a unit that was stopped for good was restarted")
	}
}

func TestProgramThatCannotStart(t *testing.T) {
	s, _, _ := supervise(t)
	if err := s.Start(Spec{Name: "ghost", Path: "/no/such/program"}); err == nil || !strings.Contains(err.Error(), "start ghost") {
		t.Errorf("error %v", err)
	}
	if err := s.Start(play("ghost", "daemon", OnRequest)); err == nil {
		t.Error("a name was given twice")
	}
}

// Children end with a supervisor that is killed, even one that is suspended,
// whoever adopts them: the test does, so that no orphaned process group makes
// the kernel wake the suspended one, as it would under an init of another session.
func TestChildrenDoNotOutliveAKilledSupervisor(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), playEnv+"=supervisor", "DEMO_TEST_DIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var pids []int
	for lines := bufio.NewScanner(out); len(pids) < 2 && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
		t.Cleanup(func() {
			if t.Failed() {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
	if len(pids) != 2 {
		t.Fatalf("pids %v", pids)
	}
	if !isSuspended(pids[1]) {
		t.Fatal("the second child is not suspended: the test proves nothing")
	}
	cmd.Process.Kill()
	io.Copy(io.Discard, out)
	cmd.Wait()
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("end of child %d", pid), func() bool { return !alive(pid) })
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			t.Errorf("adopted child %d: %v", pid, err)
		}
	}
}

// alive reports whether a process runs; one that nobody waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := statFields(stat)
	return len(fields) > 0 && fields[0] != "Z"
}
