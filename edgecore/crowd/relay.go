package crowd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// relayTopic is what the audience of a show talks on.
const relayTopic = "audience"

type relayFrame struct {
	Type  string          `json:"type"`
	Topic string          `json:"topic,omitempty"`
	ID    string          `json:"id,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// takePart subscribes to the show's topic, says one thing and waits to hear it
// come back. A relay that fails costs the attendee nothing but the message.
func (a *attendee) takePart() {
	if !a.think() {
		return
	}
	ctx, cancel := context.WithTimeout(a.before, a.crowd.opts.Timeout)
	defer cancel()
	start := time.Now()
	if err := a.relay(ctx); err != nil {
		if a.before.Err() == nil {
			a.tally.count(&a.tally.failures)
			a.crowd.opts.Log.Debug("relay failed", "venue", a.venue.Name, "err", err)
		}
		return
	}
	a.tally.answered(false, time.Since(start))
	a.tally.count(&a.tally.relayed)
}

func (a *attendee) relay(ctx context.Context) error {
	conn, _, err := websocket.Dial(ctx, a.venue.URL+"/v1/relay", nil)
	if err != nil {
		return fmt.Errorf("dial relay: %w", err)
	}
	defer conn.CloseNow()
	if err := wsjson.Write(ctx, conn, relayFrame{Type: "subscribe", Topic: relayTopic}); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := await(ctx, conn, func(f relayFrame) bool { return f.Type == "subscribed" }); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	id := a.id + "-say"
	say := relayFrame{Type: "publish", Topic: relayTopic, ID: id, Data: json.RawMessage(`{"text":"encore"}`)}
	if err := wsjson.Write(ctx, conn, say); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := await(ctx, conn, func(f relayFrame) bool { return f.Type == "message" && f.ID == id }); err != nil {
		return fmt.Errorf("hear own message: %w", err)
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}

// await reads frames until one is wanted; what others say meanwhile is heard
// and forgotten.
func await(ctx context.Context, conn *websocket.Conn, wanted func(relayFrame) bool) error {
	for {
		var f relayFrame
		if err := wsjson.Read(ctx, conn, &f); err != nil {
			return err
		}
		if wanted(f) {
			return nil
		}
	}
}
