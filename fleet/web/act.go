package web

import (
	"net/http"
	"net/url"
	"strings"

	"ghostlight/fleet/status"
	"ghostlight/fleet/web/api"
)

// maxForm bounds what the form of an incident may send.
const maxForm = 16 << 10

// act does what the form on an incident's page asks. The token comes with it, so
// that no other page can make a reader's browser act; it is never shown again.
func (s *server) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.tell(w, r, http.StatusBadRequest, "The form could not be read", "Go back and send it again.")
		return
	}
	form := r.PostForm
	if !s.api.Allowed(strings.TrimSpace(form.Get("token"))) {
		s.tell(w, r, http.StatusUnauthorized, "That is not the fleet's API token", "Nothing was written. The token is api_token in the centre's configuration; go back and send it again.")
		return
	}
	id := r.PathValue("id")
	if err := s.api.Act(r.Context(), form.Get("do"), id, form.Get("by"), form.Get("text")); err != nil {
		code, says := api.Fault(err)
		if code == http.StatusInternalServerError {
			s.Log.Error("incident cannot be written", "incident", id, "error", err)
		}
		s.tell(w, r, code, "Nothing was written", says)
		return
	}
	http.Redirect(w, r, "/incidents/"+url.PathEscape(id), http.StatusSeeOther)
}

// tell answers with a page that says one thing.
func (s *server) tell(w http.ResponseWriter, r *http.Request, code int, says, detail string) {
	s.render(w, r, code, view{"error", says, now(), status.Headline{Tone: "unknown", Says: says, Detail: detail}}, "")
}
