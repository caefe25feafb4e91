package demo

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A page is said once, however often it comes, and so is that it is over.
func TestPagerSaysEachPageOnce(t *testing.T) {
	var said []string
	p := newPager(func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	send := func(body string) int {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		return w.Code
	}
	alert := func(fingerprint, status, summary, more string) string {
		return fmt.Sprintf(`{"version": "4", "alerts": [{"fingerprint": %q, "status": %q, "annotations": {"summary": %q%s}}]}`, fingerprint, status, summary, more)
	}
	for range 2 {
		if code := send(alert("a", "firing", "soho: Checkout fails.", "")); code != http.StatusNoContent {
			t.Errorf("answered %d", code)
		}
	}
	send(alert("b", "resolved", "hackney: Checkout failed", `, "late": "true"`))
	for range 2 {
		send(alert("a", "resolved", "soho: Checkout works again", ""))
	}
	if code := send("{"); code != http.StatusBadRequest {
		t.Errorf("half a message was answered with %d", code)
	}
	want := []string{
		"Page to whoever is on call: soho: Checkout fails.",
		"Message to whoever is on call, of what nobody could know before: hackney: Checkout failed.",
		"Page is over: soho: Checkout works again.",
	}
	if d := cmp.Diff(want, said); d != "" {
		t.Errorf("said (-want +got):\n%s", d)
	}
}
