package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

// answerLimit bounds what is read of an answer.
const answerLimit = 64 << 10

// Names of the actions in audit and metrics.
const (
	UnitRestart = "unit_restart"
	CacheRepair = "cache_repair"
)

// A SupervisorRestart restarts a unit through the supervisor's Unix socket.
type SupervisorRestart struct {
	unit   string
	client *http.Client
}

// NewSupervisorRestart makes the action; the socket is opened when it is done.
func NewSupervisorRestart(socket, unit string) *SupervisorRestart {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &SupervisorRestart{unit: unit, client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}}
}

// Name identifies the action.
func (*SupervisorRestart) Name() string { return UnitRestart }

// Do returns once the supervisor runs the new process.
func (a *SupervisorRestart) Do(ctx context.Context) error {
	u := "http://supervisor/units/" + url.PathEscape(a.unit) + "/restart"
	_, err := post(ctx, a.client, u, "")
	if err != nil {
		return fmt.Errorf("restart unit %s: %w", a.unit, err)
	}
	return nil
}

// A SystemdRestart restarts a unit with systemctl.
type SystemdRestart struct{ unit string }

// NewSystemdRestart makes the action.
func NewSystemdRestart(unit string) *SystemdRestart { return &SystemdRestart{unit: unit} }

// Name identifies the action.
func (*SystemdRestart) Name() string { return UnitRestart }

// Do returns once systemd has started the unit again.
func (a *SystemdRestart) Do(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "systemctl", "restart", "--", a.unit).CombinedOutput()
	if err != nil {
		return fmt.Errorf("restart unit %s: %w: %s", a.unit, err, strings.TrimSpace(string(out[:min(len(out), 500)])))
	}
	return nil
}

// A Repair asks edgecore to refetch the corrupt objects of its cache.
type Repair struct {
	url, token string
	client     *http.Client
}

// NewRepair makes the action for edgecore's admin listener.
func NewRepair(adminURL, token string) *Repair {
	return &Repair{url: strings.TrimRight(adminURL, "/") + "/admin/cache/repair", token: token, client: &http.Client{}}
}

// Name identifies the action.
func (*Repair) Name() string { return CacheRepair }

// Do returns nil once no object of the cache is corrupt.
func (a *Repair) Do(ctx context.Context) error {
	body, err := post(ctx, a.client, a.url, a.token)
	if err != nil {
		return fmt.Errorf("repair the cache: %w", err)
	}
	var res struct {
		Corrupt   int `json:"corrupt"`
		Refetched int `json:"refetched"`
		Failed    int `json:"failed"`
	}
	if err := json.Unmarshal(body, &res); err != nil {
		return fmt.Errorf("repair the cache: edgecore's answer cannot be read: %w", err)
	}
	if res.Failed > 0 {
		return fmt.Errorf("repair the cache: %d of %d corrupt objects could not be fetched again", res.Failed, res.Corrupt)
	}
	return nil
}

// post sends an empty POST and returns the body of a 2xx answer.
func post(ctx context.Context, client *http.Client, u, token string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, http.NoBody)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("answered %s: %s", resp.Status, strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	return body, nil
}
