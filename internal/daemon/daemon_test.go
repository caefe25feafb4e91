package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"ghostlight/internal/daemon"
)

// TestMain lets the test binary stand in for a daemon: the tests below start it
// as a child process.
func TestMain(m *testing.M) {
	switch os.Getenv("DAEMON_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "wait":
		os.Exit(daemon.Main("child", func(ctx context.Context) error {
			fmt.Println("up")
			<-ctx.Done()
			return ctx.Err()
		}))
	case "stubborn":
		os.Exit(daemon.Main("child", func(ctx context.Context) error {
			fmt.Println("up")
			<-ctx.Done()
			fmt.Println("asked")
			select {}
		}))
	case "fail":
		os.Exit(daemon.Main("child", func(context.Context) error { return errors.New("the stage is on fire") }))
	}
}

func child(t *testing.T, kind string, env ...string) (*exec.Cmd, *bufio.Reader, *strings.Builder) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "DAEMON_TEST_CHILD="+kind), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	return cmd, bufio.NewReader(out), &stderr
}

func expectLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	line, err := r.ReadString('\n')
	if strings.TrimSpace(line) != want {
		t.Fatalf("child said %q (%v), want %q", line, err, want)
	}
}

func TestSignalStopsWell(t *testing.T) {
	cmd, out, _ := child(t, "wait")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	expectLine(t, out, "up")
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("exit after SIGTERM: %v", err)
	}
}

func TestSecondSignalAlwaysEnds(t *testing.T) {
	cmd, out, _ := child(t, "stubborn")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	expectLine(t, out, "up")
	cmd.Process.Signal(os.Interrupt)
	expectLine(t, out, "asked")
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Fatalf("exit status %d, want 130", code)
	}
}

func TestLifelineStopsTheProgram(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd, out, _ := child(t, "wait", daemon.LifelineEnv+"=3")
	cmd.ExtraFiles = []*os.File{r}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	expectLine(t, out, "up")
	w.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("exit after the lifeline closed: %v", err)
	}
}

func TestErrorIsOneSentenceAndStatusOne(t *testing.T) {
	cmd, _, stderr := child(t, "fail")
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 1 || stderr.String() != "child: the stage is on fire\n" {
		t.Fatalf("status %d, stderr %q", code, stderr)
	}
}

func TestLockIsExclusive(t *testing.T) {
	dir := t.TempDir()
	release, err := daemon.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Lock(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("second lock: %v", err)
	}
	release()
	again, err := daemon.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestListenNamesTheTakenAddress(t *testing.T) {
	ln, err := daemon.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := daemon.Listen(t.Context(), ln.Addr().String()); err == nil || !strings.Contains(err.Error(), ln.Addr().String()+" is taken") {
		t.Fatalf("second listen: %v", err)
	}
}

func TestServeEndsStreamsWithTheContext(t *testing.T) {
	ln, err := daemon.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- daemon.Serve(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
	}()
	resp, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	io.Copy(io.Discard, resp.Body)
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
