package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"ghostlight/internal/uplink"
)

// A program is an agent or a centre, ours or a peer's.
type program struct {
	*process
	addr string // of its own pages
	dir  string // where it keeps what waits
}

// vmagent starts the peer; each scrape leaves in a request of its own if the
// interval is at least a second, the interval at which it flushes.
func (b *bench) vmagent(ctx context.Context, name, target, to string, interval time.Duration) (*program, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	config, err := b.write(name+".yml", prometheusConfig(name, target, interval, ""))
	if err != nil {
		return nil, err
	}
	s := &program{addr: addr, dir: filepath.Join(b.tmp, name)}
	s.process, err = b.start(name, filepath.Join(b.peers, "vmagent"), "-promscrape.config="+config, "-httpListenAddr="+addr,
		"-remoteWrite.url=http://"+to+"/api/v1/write", "-remoteWrite.tmpDataPath="+s.dir, "-remoteWrite.queues=1", "-remoteWrite.retryMaxInterval=2s", "-loggerLevel=WARN")
	if err != nil {
		return nil, err
	}
	return s, s.ready(ctx, "http://"+addr+"/metrics")
}

// prometheusConfig is for vmagent and Prometheus alike.
func prometheusConfig(name, target string, interval time.Duration, to string) string {
	text := fmt.Sprintf("global: {scrape_interval: %[1]dms, scrape_timeout: %[1]dms}\nscrape_configs:\n- job_name: edge\n  honor_labels: true\n  metrics_path: /%[2]s/metrics\n  static_configs: [{targets: [%[3]q]}]\n", interval.Milliseconds(), name, target)
	if to != "" {
		text += fmt.Sprintf("remote_write: [{url: %q}]\n", to)
	}
	return text
}

// prometheusAgent starts Debian's Prometheus as an agent.
func (b *bench) prometheusAgent(ctx context.Context, name, target, to string, interval time.Duration) (*program, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	config, err := b.write(name+".yml", prometheusConfig(name, target, interval, "http://"+to+"/api/v1/write"))
	if err != nil {
		return nil, err
	}
	s := &program{addr: addr, dir: filepath.Join(b.tmp, name)}
	s.process, err = b.start(name, "prometheus", "--enable-feature=agent", "--config.file="+config, "--web.listen-address="+addr, "--storage.agent.path="+s.dir, "--log.level=error")
	if err != nil {
		return nil, err
	}
	return s, s.ready(ctx, "http://"+addr+"/metrics")
}

// victoriaMetrics starts the centre of the peers.
func (b *bench) victoriaMetrics(ctx context.Context, name string) (*program, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	s := &program{addr: addr, dir: filepath.Join(b.tmp, name)}
	s.process, err = b.start(name, filepath.Join(b.peers, "victoria-metrics"), "-httpListenAddr="+addr, "-storageDataPath="+s.dir, "-memory.allowedBytes=256MiB", "-loggerLevel=WARN")
	if err != nil {
		return nil, err
	}
	return s, s.ready(ctx, "http://"+addr+"/health")
}

// nodeToken opens the fleet to the bench's one node.
const nodeToken = "bench-node-token"

// fleet starts our centre with one node.
func (b *bench) fleet(ctx context.Context, name, listen string) (*program, error) {
	s := &program{addr: listen, dir: filepath.Join(b.tmp, name)}
	config, err := b.write(name+".yaml", fmt.Sprintf("listen: %s\ndata_dir: %s\nmemory_limit: 256MiB\nnodes:\n  - {region: bench, venue: bench, name: edge-1, token: %s}\n", listen, s.dir, nodeToken))
	if err != nil {
		return nil, err
	}
	if s.process, err = b.start(name, filepath.Join(b.ours, "ghostlight-fleet"), "--config", config); err != nil {
		return nil, err
	}
	return s, s.ready(ctx, "http://"+listen+"/metrics")
}

// agentOptions are what differs between the sections' agents.
type agentOptions struct {
	target   string // host:port of the replay
	fleet    string // host:port
	interval time.Duration
	dir      string   // of the buffer; made if empty
	wrapper  []string // such as ip netns exec
	page     string   // address; a free one if empty
	more     string   // of the configuration
}

// agent starts our agent.
func (b *bench) agent(ctx context.Context, name string, o agentOptions) (*program, error) {
	if o.page == "" {
		var err error
		if o.page, err = free(); err != nil {
			return nil, err
		}
	}
	if o.dir == "" {
		o.dir = filepath.Join(b.tmp, name)
	}
	text := fmt.Sprintf("node: {region: bench, venue: bench, name: edge-1}\ndata_dir: %s\nfleet: {url: 'http://%s', token: %s}\npage: {listen: %q}\n", o.dir, o.fleet, nodeToken, o.page)
	if o.target != "" {
		text += fmt.Sprintf("scrape: {interval: %[1]s, timeout: %[1]s, targets: [{job: edge, url: 'http://%[2]s/%[3]s/metrics', honor_labels: true}]}\n", o.interval, o.target, name)
	}
	config, err := b.write(name+".yaml", text+o.more)
	if err != nil {
		return nil, err
	}
	s := &program{addr: o.page, dir: o.dir}
	command := append(append([]string(nil), o.wrapper...), filepath.Join(b.ours, "ghostlight-agent"), "--config", config)
	if s.process, err = b.start(name, command...); err != nil {
		return nil, err
	}
	if len(o.wrapper) > 0 {
		return s, nil // its page may not be within reach
	}
	return s, s.ready(ctx, "http://"+o.page+"/")
}

// A link carries one sender's bytes, counts them and can be cut.
type link struct {
	*uplink.Uplink
	addr string
	stop func()
}

// newLink leads to a backend.
func newLink(backend string) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u, err := uplink.New(uplink.Options{Routes: []uplink.Route{{Name: "link", Listener: ln, Backend: backend}}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { u.Run(ctx); close(done) }() //nolint:errcheck // a link that fails shows in what is measured
	return &link{Uplink: u, addr: ln.Addr().String(), stop: func() { cancel(); <-done }}, nil
}

// bytes are those of both directions, headers and answers included.
func (l *link) bytes() (up, down int64) {
	c := l.Counts()["link"]
	return c.BytesUp, c.BytesDown
}
