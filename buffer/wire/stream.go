package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ghostlight/buffer"
)

// StreamPath takes a POST that lasts as long as the connection, over HTTP/2 only.
// The node's messages are its body, the fleet's are the answer's, which begins at
// once with status 200. Each message is a type, the length of its body as a
// uvarint, and the body.
//
//	node                                   fleet
//	Hello    first, a [Heartbeat]          Welcome  first, a [Greeting]
//	Block    a frame of delta.Encoder      Acked    ranges that are durable
//	Beat     nothing happened              Beaten   answers Beat: both clocks
//	Report   a [Heartbeat]: what changed   Refused  one block will not or cannot be taken
//	Sign     nothing happened; no answer   Resync   the next frame must be a key frame
//	                                       Shows    a [Calendar], to a node that wants it: when it changed
//
// After Resync the fleet passes over all frames before the next key frame; what
// they held was not taken. Refused leaves the coding state as it is. Whatever the
// node sends is a sign of life.
const StreamPath = "/v1/stream"

// StreamType is the media type of both directions.
const StreamType = "application/vnd.ghostlight.stream"

// A MessageType begins every message.
type MessageType byte

// What a node says, and what a fleet says. Unknown types are passed over, so that
// either side can be newer.
const (
	Hello  MessageType = 1
	Block  MessageType = 2
	Beat   MessageType = 3
	Report MessageType = 4
	Sign   MessageType = 5

	Welcome MessageType = 17
	Acked   MessageType = 18
	Beaten  MessageType = 19
	Refused MessageType = 20
	Resync  MessageType = 21
	Shows   MessageType = 22
)

// ErrMessage means that what was read is no message, or one that is too long.
var ErrMessage = errors.New("message cannot be read")

// A Greeting is what the fleet tells a node that came.
type Greeting struct {
	ReceivedMS int64 `json:"received_ms"` // centre's clock when the node's Hello was read, Unix milliseconds
	SilenceMS  int64 `json:"silence_ms"`  // a node not heard for so long is dark: say something about twice as often
	FrameBytes int64 `json:"frame_bytes"` // longest frame taken
}

// A StreamRefusal says what becomes of one block, as a [Refusal] of that HTTP
// status would: 429 and 503 mean that it is to be sent again, after AfterMS; 409
// and any other 4xx that it never will be taken.
type StreamRefusal struct {
	Session buffer.Session `json:"session,string"`
	Lane    buffer.Lane    `json:"lane"`
	Seq     buffer.Seq     `json:"seq"`
	Status  int            `json:"status"`
	Error   string         `json:"error"`
	AfterMS int64          `json:"after_ms,omitempty"`
}

// Clocks answer a Beat: when the node says it was sent and when it was read, Unix
// milliseconds of either clock.
type Clocks struct {
	SentMS, ReceivedMS int64
}

// AppendMessage appends a whole message to dst.
func AppendMessage(dst []byte, t MessageType, body []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(t)), uint64(len(body)))
	return append(dst, body...)
}

// AppendJSON appends a message whose body is v as JSON.
func AppendJSON(dst []byte, t MessageType, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("encode message %d: %w", t, err)
	}
	return AppendMessage(dst, t, body), nil
}

// AppendSign appends a Sign.
func AppendSign(dst []byte) []byte { return AppendMessage(dst, Sign, nil) }

// AppendBeat appends a Beat sent at a time of the node's clock, Unix milliseconds.
func AppendBeat(dst []byte, sentMS int64) []byte {
	return AppendMessage(dst, Beat, binary.AppendVarint(nil, sentMS))
}

// AppendBeaten appends the answer to a Beat.
func AppendBeaten(dst []byte, c Clocks) []byte {
	return AppendMessage(dst, Beaten, binary.AppendVarint(binary.AppendVarint(nil, c.SentMS), c.ReceivedMS))
}

// AppendAck appends an Acked message.
func AppendAck(dst []byte, a Ack) []byte {
	flags := byte(a.Lane)
	if a.Duplicate {
		flags |= ackDuplicate
	}
	body := binary.LittleEndian.AppendUint64([]byte{flags}, uint64(a.Session))
	for _, r := range a.Ranges {
		body = binary.AppendUvarint(body, uint64(r.First))
		body = binary.AppendUvarint(body, uint64(r.Last-r.First))
	}
	return AppendMessage(dst, Acked, body)
}

const ackDuplicate = 1 << 7

// ParseAck reads the body of an Acked message.
func ParseAck(body []byte) (Ack, error) {
	if len(body) < 9 {
		return Ack{}, fmt.Errorf("%w: acknowledgement of %d bytes", ErrMessage, len(body))
	}
	a := Ack{Lane: buffer.Lane(body[0] &^ ackDuplicate), Duplicate: body[0]&ackDuplicate != 0, Session: buffer.Session(binary.LittleEndian.Uint64(body[1:]))}
	if !a.Lane.Valid() {
		return Ack{}, fmt.Errorf("%w: acknowledgement of lane %d", ErrMessage, a.Lane)
	}
	for rest := body[9:]; len(rest) > 0; {
		first, n := binary.Uvarint(rest)
		if n <= 0 {
			return Ack{}, fmt.Errorf("%w: acknowledgement is cut short", ErrMessage)
		}
		length, m := binary.Uvarint(rest[n:])
		if m <= 0 || first+length < first {
			return Ack{}, fmt.Errorf("%w: acknowledgement is cut short", ErrMessage)
		}
		a.Ranges = append(a.Ranges, Range{First: buffer.Seq(first), Last: buffer.Seq(first + length)})
		rest = rest[n+m:]
	}
	return a, nil
}

// ParseBeat reads the body of a Beat.
func ParseBeat(body []byte) (sentMS int64, err error) {
	sentMS, n := binary.Varint(body)
	if n <= 0 || n != len(body) {
		return 0, fmt.Errorf("%w: beat", ErrMessage)
	}
	return sentMS, nil
}

// ParseBeaten reads the body of a Beaten message.
func ParseBeaten(body []byte) (Clocks, error) {
	sent, n := binary.Varint(body)
	if n <= 0 {
		return Clocks{}, fmt.Errorf("%w: answer to a beat", ErrMessage)
	}
	received, m := binary.Varint(body[n:])
	if m <= 0 || n+m != len(body) {
		return Clocks{}, fmt.Errorf("%w: answer to a beat", ErrMessage)
	}
	return Clocks{SentMS: sent, ReceivedMS: received}, nil
}

// A Reader reads messages.
type Reader struct {
	r    *bufio.Reader
	max  int64
	body []byte
}

// NewReader reads from r messages whose bodies have at most max bytes.
func NewReader(r io.Reader, max int64) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 4<<10), max: max}
}

// Next returns the next message; its body is good until the call after. The error
// is io.EOF only between messages, and wraps [ErrMessage] if the sender is wrong.
func (r *Reader) Next() (MessageType, []byte, error) {
	t, err := r.r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return 0, nil, fmt.Errorf("length of a message: %w", noEOF(err))
	}
	if n > uint64(r.max) {
		return 0, nil, fmt.Errorf("%w: it has %d bytes, at most %d are taken", ErrMessage, n, r.max)
	}
	if cap(r.body) < int(n) || cap(r.body) > keepBody && n < keepBody {
		// What is announced is paid for as it comes.
		r.body = make([]byte, 0, min(n, keepBody))
	}
	r.body = r.body[:0]
	for len(r.body) < int(n) {
		step := min(int(n)-len(r.body), keepBody)
		at := len(r.body)
		r.body = append(r.body, make([]byte, step)...)
		if _, err := io.ReadFull(r.r, r.body[at:]); err != nil {
			return 0, nil, fmt.Errorf("message of %d bytes: %w", n, noEOF(err))
		}
	}
	return MessageType(t), r.body, nil
}

// keepBody is how large a buffer an idle reader may keep.
const keepBody = 16 << 10

// noEOF makes of an end amid a message an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
