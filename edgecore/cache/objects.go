package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Limits of the folder of objects.
const (
	MaxObjectBytes = 1 << 20 // content of one object
	MaxObjects     = 4096
	maxKeyBytes    = 100 // a name is the key in hexadecimal; file names end at 255
	maxFileBytes   = MaxObjectBytes + 4096
)

var (
	errAbsent  = errors.New("object is not stored")
	errCorrupt = errors.New("object is corrupt")
)

// An Object is one thing of the hub, as the hub served it.
type Object struct {
	ETag        string
	ContentType string
	Body        []byte
}

// stored is an object with the time the hub last vouched for it.
type stored struct {
	Object
	fetched time.Time
}

// objects keeps objects as files. A file is the 32 bytes SHA-256 of its body and
// the body: one line of JSON (envelope), then the content. The file's
// modification time is when the hub last vouched for it.
type objects struct{ dir string }

// envelope says what a file's content is.
type envelope struct {
	Version     int    `json:"v"`
	Key         string `json:"key"`
	ETag        string `json:"etag"`
	ContentType string `json:"content_type"`
}

const envelopeVersion = 1

// openObjects makes the folder if need be and removes what a killed process left
// half written.
func openObjects(dir string) (objects, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return objects{}, fmt.Errorf("cache folder: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil {
		return objects{}, fmt.Errorf("cache folder: %w", err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return objects{}, fmt.Errorf("cache folder: %w", err)
		}
	}
	return objects{dir: dir}, nil
}

func (o objects) path(key string) string {
	return filepath.Join(o.dir, hex.EncodeToString([]byte(key)))
}

// keys lists the objects in the folder; files that are none are left alone.
func (o objects) keys() ([]string, error) {
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, fmt.Errorf("list cache: %w", err)
	}
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		if key, err := hex.DecodeString(e.Name()); err == nil && len(key) > 0 && !e.IsDir() {
			keys = append(keys, string(key))
		}
	}
	return keys, nil
}

// read returns an object whose checksum held just now; errAbsent, errCorrupt, or
// an error of the disk.
func (o objects) read(key string) (stored, error) {
	f, err := os.Open(o.path(key))
	if errors.Is(err, os.ErrNotExist) {
		return stored{}, errAbsent
	} else if err != nil {
		return stored{}, fmt.Errorf("read object %s: %w", key, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return stored{}, fmt.Errorf("read object %s: %w", key, err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return stored{}, fmt.Errorf("read object %s: %w", key, err)
	}
	obj, err := parse(key, raw)
	if err != nil {
		return stored{}, err
	}
	return stored{Object: obj, fetched: info.ModTime()}, nil
}

// parse checks a file's bytes and takes them apart.
func parse(key string, raw []byte) (Object, error) {
	if len(raw) < sha256.Size || len(raw) > maxFileBytes {
		return Object{}, fmt.Errorf("%w: %d bytes", errCorrupt, len(raw))
	}
	body := raw[sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], raw[:sha256.Size]) {
		return Object{}, fmt.Errorf("%w: checksum differs", errCorrupt)
	}
	head, content, ok := bytes.Cut(body, []byte{'\n'})
	var env envelope
	if !ok || json.Unmarshal(head, &env) != nil || env.Version != envelopeVersion || env.Key != key {
		return Object{}, fmt.Errorf("%w: envelope is not that of %s", errCorrupt, key)
	}
	return Object{ETag: env.ETag, ContentType: env.ContentType, Body: content}, nil
}

// write stores an object so that a reader sees the old or the new one, whole.
func (o objects) write(key string, obj Object, fetched time.Time) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("store object %s: %w", key, err)
		}
	}()
	head, err := json.Marshal(envelope{Version: envelopeVersion, Key: key, ETag: obj.ETag, ContentType: obj.ContentType})
	if err != nil {
		return err
	}
	body := append(append(head, '\n'), obj.Body...)
	sum := sha256.Sum256(body)
	f, err := os.CreateTemp(o.dir, "*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already once renamed
	_, err = f.Write(append(sum[:], body...))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Chtimes(f.Name(), fetched, fetched); err != nil {
		return err
	}
	return os.Rename(f.Name(), o.path(key))
}

// touch records that the hub vouched for the object again.
func (o objects) touch(key string, fetched time.Time) error {
	if err := os.Chtimes(o.path(key), fetched, fetched); err != nil {
		return fmt.Errorf("touch object %s: %w", key, err)
	}
	return nil
}

// remove deletes an object; one that is absent is no error.
func (o objects) remove(key string) error {
	if err := os.Remove(o.path(key)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove object %s: %w", key, err)
	}
	return nil
}

// validKey reports whether key may name an object.
func validKey(key string) bool {
	return key != "" && len(key) <= maxKeyBytes && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-_/") == ""
}
