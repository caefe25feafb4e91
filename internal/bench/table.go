package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// A table is printed in Markdown, its columns as wide as their widest cell.
type table struct{ rows [][]string }

// row adds a row; numbers come as text, in the precision that they are good to.
func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var widths []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 3)
			}
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for n, r := range t.rows {
		for i, w := range widths {
			cell := ""
			if i < len(r) {
				cell = r[i]
			}
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(" ", w-len([]rune(cell))))
		}
		b.WriteString("|\n")
		if n == 0 {
			for i, w := range widths {
				// Figures stand to the right, the names to the left.
				if i == 0 {
					fmt.Fprintf(&b, "| %s ", strings.Repeat("-", w))
				} else {
					fmt.Fprintf(&b, "| %s: ", strings.Repeat("-", w-1))
				}
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// writeSection puts text between the markers of a section; a section that the
// file does not have yet is added at its end.
func writeSection(path, name, title, text string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the tables of earlier runs: %w", err)
	}
	begin, end := "<!-- bench:"+name+" -->\n", "<!-- /bench:"+name+" -->\n"
	body := begin + "\n" + strings.TrimSpace(text) + "\n\n" + end
	from := bytes.Index(old, []byte(begin))
	to := bytes.Index(old, []byte(end))
	switch {
	case from >= 0 && to > from:
		old = append(old[:from:from], append([]byte(body), old[to+len(end):]...)...)
	case from < 0 && to < 0:
		old = fmt.Appendf(old, "\n## %s\n\n%s", title, body)
	default:
		return fmt.Errorf("%s has only one of the two markers of section %s: put the other back", path, name)
	}
	if err := os.WriteFile(path, bytes.TrimLeft(old, "\n"), 0o644); err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	return nil
}

// machine says what the figures were measured on.
func machine() string {
	model, memory := "unknown processor", ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		model = field(string(text), "model name")
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		memory = field(string(text), "MemTotal")
	}
	return fmt.Sprintf("%d cores of %s, memory %s, %s.", runtime.NumCPU(), model, memory, runtime.Version())
}

// load1 is how busy the machine is with other things, over the last minute.
func load1() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}

// field is the value of the first line "name : value".
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
