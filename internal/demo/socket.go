package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"ghostlight/internal/daemon"
)

// Handler is the supervisor's API: GET /units lists the units, POST
// /units/{name}/restart answers once the new process runs.
func (s *Supervisor) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /units", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, s.Units())
	})
	mux.HandleFunc("POST /units/{name}/restart", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		err := s.Restart(r.Context(), name)
		switch {
		case errors.Is(err, errUnknownUnit):
			answer(w, http.StatusNotFound, map[string]string{"error": err.Error()})
		case err != nil:
			answer(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
		default:
			u, err := s.unit(name)
			if err != nil {
				answer(w, http.StatusNotFound, map[string]string{"error": err.Error()})
				return
			}
			status, _ := u.report()
			answer(w, http.StatusOK, status)
		}
	})
	return mux
}

// ServeSocket answers the API on a Unix socket at path until ctx ends.
func (s *Supervisor) ServeSocket(ctx context.Context, path string) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("open the supervisor's socket: %w", err)
	}
	return daemon.Serve(ctx, ln, s.Handler())
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client is gone
}
