// Package relay carries live messages between the devices of a venue: WebSocket
// clients subscribe to topics and publish to them.
//
// It guarantees that messages of one topic reach a subscriber in the order of
// their sequence, that a slow client never holds up another, and that whatever a
// client missed shows as a gap in the sequence and is counted. The last few
// messages of a topic can be had again on resuming. It never stores messages on
// disk, and never lets synthetic and real clients hear each other.
package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of the relay. Memory stays bounded whatever clients do.
const (
	maxTopics        = 128
	maxSubscriptions = 64       // topics of one client
	maxName          = 128      // bytes of a topic or a message id
	maxData          = 8 << 10  // bytes of a message's data
	maxFrame         = 16 << 10 // bytes of a client's frame
	historyMessages  = 32       // kept for each topic
	historyBytes     = 32 << 10
	queueMessages    = 64 // deliveries waiting for one client
	queueBytes       = 64 << 10
)

// DefaultConnections is how many clients may be connected at once.
const DefaultConnections = 512

// Options configure a relay.
type Options struct {
	Connections int // clients at once
	Now         func() time.Time
	Log         *slog.Logger
}

// A Relay is the set of topics and the clients connected to them.
type Relay struct {
	o       Options
	metrics *metrics
	clients sync.WaitGroup // running handlers

	mu      sync.Mutex
	topics  map[topicKey]*topic  // guarded by mu
	conns   map[*client]struct{} // guarded by mu
	stopped bool                 // no client is let in any more; guarded by mu
}

// topicKey keeps the synthetic partition apart.
type topicKey struct {
	synthetic bool
	name      string
}

// A topic is guarded by its relay's mu.
type topic struct {
	seq     int64 // of the last message
	used    time.Time
	history []message
	bytes   int // of history
	subs    map[*client]struct{}
}

// A message is encoded once for all its subscribers.
type message struct {
	seq      int64
	frame    []byte
	received time.Time
}

// New returns a relay without clients.
func New(o Options) (*Relay, error) {
	if o.Connections < 1 || o.Now == nil || o.Log == nil {
		return nil, errors.New("relay needs room for connections, a clock and a log")
	}
	r := &Relay{o: o, topics: map[topicKey]*topic{}, conns: map[*client]struct{}{}}
	r.metrics = newMetrics(r)
	return r, nil
}

// inbound is what a client may say.
type inbound struct {
	Type  string          `json:"type"`
	Topic string          `json:"topic"`
	After *int64          `json:"after"`
	ID    string          `json:"id"`
	Data  json.RawMessage `json:"data"`
}

// outbound is what a client may hear.
type outbound struct {
	Type   string          `json:"type"`
	Topic  string          `json:"topic,omitempty"`
	ID     string          `json:"id,omitempty"`
	Seq    int64           `json:"seq,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	SentMS int64           `json:"sent_ms,omitempty"`
	Error  string          `json:"error,omitempty"`
}

func (o outbound) encode() []byte {
	raw, err := json.Marshal(o)
	if err != nil { // Data was valid JSON when it came in, so this is unreachable
		raw = []byte(`{"type":"error","error":"The message could not be encoded."}`)
	}
	return raw
}

// handle acts on one frame of c.
func (r *Relay) handle(c *client, raw []byte) {
	var in inbound
	if err := json.Unmarshal(raw, &in); err != nil {
		c.reply(outbound{Type: "error", Error: "The frame is not the JSON expected here: " + err.Error()})
		return
	}
	var err error
	switch in.Type {
	case "subscribe":
		err = r.subscribe(c, in)
	case "unsubscribe":
		r.unsubscribe(c, topicKey{c.synthetic, in.Topic})
		c.reply(outbound{Type: "unsubscribed", Topic: in.Topic})
	case "publish":
		err = r.publish(c, in)
	default:
		err = refusal(fmt.Sprintf("The type %q is not known; use subscribe, unsubscribe or publish.", in.Type))
	}
	if err != nil {
		c.reply(outbound{Type: "error", Topic: in.Topic, ID: in.ID, Error: err.Error()})
	}
}

// validName reports whether s can name a topic or a message.
func validName(s string) bool {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) {
		return false
	}
	for _, ch := range s {
		if !unicode.IsPrint(ch) {
			return false
		}
	}
	return true
}

// A refusal is a sentence for the people behind a client.
type refusal string

func (r refusal) Error() string { return string(r) }

const errTopics = refusal("The relay carries its most of topics; try again later.")

var (
	errTopicName = refusal(fmt.Sprintf("The topic needs a name of 1 to %d printable bytes.", maxName))
	errSubs      = refusal(fmt.Sprintf("A client may follow at most %d topics.", maxSubscriptions))
	errMessage   = refusal(fmt.Sprintf("A message needs an id of 1 to %d printable bytes and data of at most %d bytes.", maxName, maxData))
)

// subscribe confirms, gives back the history after in.After if asked to, and lets
// later messages follow without a gap between.
func (r *Relay) subscribe(c *client, in inbound) error {
	if !validName(in.Topic) {
		return errTopicName
	}
	key := topicKey{c.synthetic, in.Topic}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !c.topics[key] && len(c.topics) >= maxSubscriptions {
		return errSubs
	}
	t, err := r.topic(key)
	if err != nil {
		return err
	}
	c.topics[key] = true
	t.subs[c] = struct{}{}
	c.reply(outbound{Type: "subscribed", Topic: in.Topic, Seq: t.seq})
	if in.After == nil {
		return nil
	}
	for _, m := range t.history {
		if m.seq > *in.After {
			c.replay(m)
		}
	}
	return nil
}

// topic returns the topic of key and makes it if need be, in the place of the
// one unused longest if there are too many. r.mu is held.
//
// A new topic's sequence starts at the time in microseconds, so that a client
// which resumes after a restart never takes a new message for an old one.
func (r *Relay) topic(key topicKey) (*topic, error) {
	now := r.o.Now()
	if t := r.topics[key]; t != nil {
		t.used = now
		return t, nil
	}
	if len(r.topics) >= maxTopics {
		var oldest topicKey
		var found *topic
		for k, t := range r.topics {
			if len(t.subs) == 0 && (found == nil || t.used.Before(found.used)) {
				oldest, found = k, t
			}
		}
		if found == nil {
			return nil, errTopics
		}
		delete(r.topics, oldest)
	}
	t := &topic{seq: now.UnixMicro(), used: now, subs: map[*client]struct{}{}}
	r.topics[key] = t
	return t, nil
}

func (r *Relay) unsubscribe(c *client, key topicKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(c, key)
}

// forget takes c off a topic; r.mu is held.
func (r *Relay) forget(c *client, key topicKey) {
	delete(c.topics, key)
	if t := r.topics[key]; t != nil {
		delete(t.subs, c)
	}
}

// publish numbers a message, keeps it, and hands it to every subscriber that has
// room; for one that has none it is dropped and counted.
func (r *Relay) publish(c *client, in inbound) error {
	if !validName(in.Topic) {
		return errTopicName
	}
	if !validName(in.ID) || len(in.Data) > maxData {
		return errMessage
	}
	r.metrics.messages.WithLabelValues("in").Inc()
	now := r.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := r.topic(topicKey{c.synthetic, in.Topic})
	if err != nil {
		return err
	}
	t.seq++
	m := message{seq: t.seq, received: now}
	m.frame = outbound{Type: "message", Topic: in.Topic, ID: in.ID, Seq: t.seq, Data: in.Data, SentMS: now.UnixMilli()}.encode()
	t.keep(m)
	for sub := range t.subs {
		if !sub.deliver(m) {
			r.metrics.dropped.Inc()
		}
	}
	c.reply(outbound{Type: "published", Topic: in.Topic, ID: in.ID, Seq: t.seq})
	return nil
}

// keep adds m to the history and lets go of what is too much.
func (t *topic) keep(m message) {
	t.history = append(t.history, m)
	t.bytes += len(m.frame)
	for len(t.history) > historyMessages || (t.bytes > historyBytes && len(t.history) > 1) {
		t.bytes -= len(t.history[0].frame)
		t.history[0] = message{}
		t.history = t.history[1:]
	}
}

// join lets a client in; an error is a sentence that says why not.
func (r *Relay) join(c *client) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return errors.New("the relay is shutting down")
	case len(r.conns) >= r.o.Connections:
		return fmt.Errorf("the relay has its most of %d clients", r.o.Connections)
	}
	r.conns[c] = struct{}{}
	r.clients.Add(1)
	return nil
}

// leave forgets a client.
func (r *Relay) leave(c *client) {
	r.mu.Lock()
	for key := range c.topics {
		r.forget(c, key)
	}
	delete(r.conns, c)
	r.mu.Unlock()
	r.clients.Done()
}

// Connections is how many clients are connected.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}
