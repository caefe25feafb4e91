package synthetics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// Limits of one conversation.
const (
	maxMessageBytes = 256 << 10
	maxUnread       = 256     // messages passed over and kept
	maxUnreadBytes  = 1 << 20 // of those messages together
)

// converse does a WebSocket step and returns the handshake's status, 0 if no
// answer came.
func (r *run) converse(ctx context.Context, s *WebSocket, p *socketPlan) (int, error) {
	target := p.url.expand(r.lookup)
	if err := checkURL(target, "ws", "wss", "http", "https"); err != nil {
		return 0, err
	}
	header := http.Header{}
	if err := r.prepare(ctx, header, p.headers); err != nil {
		return 0, err
	}
	conn, resp, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: r.client, HTTPHeader: header})
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	if err != nil {
		if status != 0 {
			return status, findf("the WebSocket was refused with status %d", status)
		}
		return 0, err
	}
	defer conn.CloseNow() //nolint:errcheck // closed already on the good path
	// Closing waits for the peer; it must not wait longer than the step.
	defer context.AfterFunc(ctx, func() { _ = conn.CloseNow() })()
	conn.SetReadLimit(maxMessageBytes)
	c := &conversation{run: r, conn: conn}
	for i := range p.exchange {
		if err := c.exchange(ctx, &s.Exchange[i], &p.exchange[i]); err != nil {
			return status, err
		}
	}
	_ = conn.Close(websocket.StatusNormalClosure, "") // everything asked for has happened
	return status, nil
}

// A conversation is an open WebSocket with the messages that no expectation has
// taken yet.
type conversation struct {
	*run
	conn        *websocket.Conn
	unread      []message
	unreadBytes int
}

type message struct {
	text  string
	value any // the parsed JSON; nil if it is none
}

func (m message) scope(vars values) map[string]any {
	return map[string]any{"message": m.value, "text": m.text, "vars": map[string]any(vars)}
}

func (c *conversation) exchange(ctx context.Context, x *Exchange, p *exchangePlan) error {
	if p.send != nil {
		data, err := json.Marshal(expandTree(p.send, c.lookup))
		if err != nil {
			return fmt.Errorf("write the message's JSON: %w", err)
		}
		if err := c.conn.Write(ctx, websocket.MessageText, data); err != nil {
			return fmt.Errorf("send a message: %w", err)
		}
		return nil
	}
	m, err := c.await(ctx, orDefault(x.Timeout, defaultExchangeTimeout), p.expect)
	if err != nil {
		return err
	}
	return c.examine(p.checks, m.scope(c.vars))
}

// await takes the first message that is expected, of those kept or still to come.
func (c *conversation) await(ctx context.Context, timeout time.Duration, expect expression) (message, error) {
	for i, m := range c.unread {
		if ok, err := expect.holds(m.scope(c.vars)); err == nil && ok {
			c.unread = append(c.unread[:i], c.unread[i+1:]...)
			c.unreadBytes -= len(m.text)
			return m, nil
		}
	}
	reading, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		_, data, err := c.conn.Read(reading)
		if err != nil {
			return message{}, c.missed(ctx, reading, timeout, expect, err)
		}
		value, _ := parseJSON(data)
		m := message{text: string(data), value: value}
		// A message of another shape may give the expression no value: not the one.
		if ok, err := expect.holds(m.scope(c.vars)); err == nil && ok {
			return m, nil
		}
		c.unread = append(c.unread, m)
		c.unreadBytes += len(m.text)
		if len(c.unread) > maxUnread || c.unreadBytes > maxUnreadBytes {
			return message{}, findf("%d messages came and none was the expected %q", len(c.unread), expect.source)
		}
	}
}

// missed says why an expected message did not come, and what came instead.
func (c *conversation) missed(step, reading context.Context, timeout time.Duration, expect expression, err error) error {
	instead := "nothing else came"
	if n := len(c.unread); n > 0 {
		instead = fmt.Sprintf("other messages that came: %d, the last %s", n, shorten(c.unread[n-1].text, maxAnswerShown))
	}
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return findf("the WebSocket was closed with code %d before the expected %q; %s", closed.Code, expect.source, instead)
	case errors.Is(step.Err(), context.DeadlineExceeded):
		return findf("no message for which %q is true before the step's time was up; %s", expect.source, instead)
	case step.Err() == nil && reading.Err() != nil:
		return findf("no message for which %q is true within %s; %s", expect.source, timeout, instead)
	}
	return fmt.Errorf("await %q: %w", expect.source, err)
}
