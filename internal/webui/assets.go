package webui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

//go:embed static templates
var files embed.FS

// Assets is the stylesheet and the script, as served and as inlined.
type Assets struct {
	CSS []byte
	JS  []byte
}

// LoadAssets assembles the embedded stylesheet: the tokens of the light theme
// are the default, those of the dark theme apply where the reader or the
// reader's system prefers dark.
func LoadAssets() (Assets, error) {
	read := make(map[string][]byte)
	for _, name := range []string{"tokens-light.css", "tokens-dark.css", "base.css", "live.js"} {
		b, err := files.ReadFile("static/" + name)
		if err != nil {
			return Assets{}, fmt.Errorf("read embedded %s: %w", name, err)
		}
		read[name] = bytes.TrimSpace(b)
	}
	dark, light := read["tokens-dark.css"], read["tokens-light.css"]
	var css bytes.Buffer
	fmt.Fprintf(&css, ":root{%s}\n", light)
	fmt.Fprintf(&css, "@media(prefers-color-scheme:dark){:root{%s}}\n", dark)
	// An explicit choice wins over the system's; :has() makes the switch work
	// where no script may run, such as a report opened from disk.
	fmt.Fprintf(&css, ":root[data-theme=light],:root:has(#theme-light:checked){%s}\n", light)
	fmt.Fprintf(&css, ":root[data-theme=dark]:not(:has(#theme-light:checked)),:root:has(#theme-dark:checked){%s}\n", dark)
	css.Write(read["base.css"])
	return Assets{CSS: css.Bytes(), JS: read["live.js"]}, nil
}

// Handler serves the stylesheet and the script below prefix, such as "/static/",
// with validators so that a repeat costs one round trip and no body.
func (a Assets) Handler(prefix string) http.Handler {
	serve := func(name, contentType string, body []byte) http.HandlerFunc {
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("ETag", tag)
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+prefix+"style.css", serve("style.css", "text/css; charset=utf-8", a.CSS))
	mux.Handle("GET "+prefix+"live.js", serve("live.js", "text/javascript; charset=utf-8", a.JS))
	return mux
}

// Headers sets what every page answers with: no foreign resources, no inline
// code, no framing, no sniffing, no referrer.
func Headers(h http.Header) {
	set(h, "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
}

// StandaloneHeaders is Headers for a self-contained page: nothing is loaded and
// only the inlined stylesheet of these assets applies.
func (a Assets) StandaloneHeaders(h http.Header) {
	set(h, a.StandalonePolicy()+"; frame-ancestors 'none'")
}

// StandalonePolicy is the policy a self-contained page also carries within
// itself, so that it holds when the page is opened from disk.
func (a Assets) StandalonePolicy() string {
	return "default-src 'none'; style-src '" + hash(a.CSS) + "'; img-src data:; form-action 'none'; base-uri 'none'"
}

// ReloadingPolicy is StandalonePolicy for a page that also carries the script of
// these assets, and no other.
func (a Assets) ReloadingPolicy() string {
	return a.StandalonePolicy() + "; script-src '" + hash(a.JS) + "'; connect-src 'self'"
}

// hash names inlined content in a policy.
func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func set(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/html; charset=utf-8")
	}
}

// Tokens returns the custom properties of one theme, "light" or "dark", by name
// without the leading dashes.
func Tokens(theme string) (map[string]string, error) {
	b, err := files.ReadFile("static/tokens-" + theme + ".css")
	if err != nil {
		return nil, fmt.Errorf("theme %q is unknown; allowed: light, dark", theme)
	}
	out := make(map[string]string)
	for decl := range strings.SplitSeq(string(b), ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(decl), ":")
		if ok && strings.HasPrefix(name, "--") {
			out[strings.TrimPrefix(name, "--")] = value
		}
	}
	return out, nil
}
