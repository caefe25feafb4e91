// Package webuitest checks what every page must be: well formed, with headings
// in order, everything named, and nothing from another origin or inline.
package webuitest

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Keep writes a page into the folder named by WEBUI_KEEP, for looking at; it
// does nothing where that is not set.
func Keep(t *testing.T, name string, body []byte) {
	t.Helper()
	dir := os.Getenv("WEBUI_KEEP")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
		t.Error(err)
	}
}

var void = []string{"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

// Check reports what is wrong with a whole page.
func Check(t *testing.T, page string) {
	t.Helper()
	balanced(t, page)
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatalf("page cannot be parsed: %v", err)
	}
	c := checker{t: t, ids: map[string]bool{}}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			c.element(n)
		}
	}
	for _, id := range c.refs {
		if !c.ids[id] {
			t.Errorf("something refers to #%s, which does not exist", id)
		}
	}
	if c.h1 != 1 {
		t.Errorf("%d h1, want 1", c.h1)
	}
	for name, found := range map[string]bool{"lang": c.lang, "title": c.title, "viewport": c.viewport, "main": c.main} {
		if !found {
			t.Errorf("page has no %s", name)
		}
	}
}

// balanced checks that every element that needs it is closed, in order.
func balanced(t *testing.T, page string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	var open []string
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				t.Fatalf("page cannot be read: %v", z.Err())
			}
			if len(open) > 0 {
				t.Errorf("not closed: %v", open)
			}
			return
		case html.StartTagToken:
			name, _ := z.TagName()
			if !slices.Contains(void, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

type checker struct {
	t                           *testing.T
	ids                         map[string]bool
	refs                        []string
	policy                      string // that the page carries
	h1, level                   int
	lang, title, viewport, main bool
}

func (c *checker) element(n *html.Node) {
	attr := map[string]string{}
	for _, a := range n.Attr {
		attr[a.Key] = a.Val
		if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
			c.t.Errorf("<%s> has inline %s", n.Data, a.Key)
		}
	}
	if id, ok := attr["id"]; ok {
		if c.ids[id] {
			c.t.Errorf("id %q is used twice", id)
		}
		c.ids[id] = true
	}
	for _, key := range []string{"aria-labelledby", "aria-describedby", "for"} {
		c.refs = append(c.refs, strings.Fields(attr[key])...)
	}
	for _, key := range []string{"href", "src"} {
		c.address(n, attr[key])
	}
	c.structure(n, attr)
	c.named(n, attr)
}

func (c *checker) address(n *html.Node, to string) {
	if id, ok := strings.CutPrefix(to, "#"); ok {
		c.refs = append(c.refs, id)
	}
	if n.Data != "a" && strings.Contains(to, "//") {
		c.t.Errorf("<%s> loads %s", n.Data, to)
	}
}

func (c *checker) structure(n *html.Node, attr map[string]string) {
	switch n.Data {
	case "html":
		c.lang = attr["lang"] != ""
	case "title":
		if n.Namespace == "" {
			c.title = true
		}
	case "main":
		c.main = true
	case "meta":
		c.viewport = c.viewport || attr["name"] == "viewport"
		if attr["http-equiv"] == "Content-Security-Policy" {
			c.policy = attr["content"]
		}
	case "script":
		if attr["src"] == "" && !strings.Contains(c.policy, hash(n)) {
			c.t.Error("page has an inline script that its policy does not name")
		}
	case "style":
		if !strings.Contains(c.policy, hash(n)) {
			c.t.Error("page has an inline stylesheet that its policy does not name")
		}
	case "h1", "h2", "h3", "h4":
		level := int(n.Data[1] - '0')
		if level > c.level+1 && c.level > 0 {
			c.t.Errorf("%s %q follows h%d", n.Data, text(n), c.level)
		}
		c.level = level
		if level == 1 {
			c.h1++
		}
	}
}

func (c *checker) named(n *html.Node, attr map[string]string) {
	labelled := attr["aria-label"] != "" || attr["aria-labelledby"] != ""
	switch n.Data {
	case "a", "button", "h1", "h2", "h3":
		if text(n) == "" && !labelled {
			c.t.Errorf("<%s> %v says nothing", n.Data, n.Attr)
		}
	case "th":
		if attr["scope"] == "" {
			c.t.Errorf("<th> %q has no scope", text(n))
		}
	case "svg":
		if attr["aria-hidden"] != "true" && (attr["role"] != "img" || !labelled) {
			c.t.Errorf("<svg class=%q> is neither hidden nor a named image", attr["class"])
		}
	case "input":
		if n.Parent.Data != "label" && !labelled {
			c.t.Error("<input> has no label")
		}
	}
}

// hash names the content of n as a policy does.
func hash(n *html.Node) string {
	sum := sha256.Sum256([]byte(n.FirstChild.Data))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}
