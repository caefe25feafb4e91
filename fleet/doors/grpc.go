package doors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // senders compress with it
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"ghostlight/buffer"
	"ghostlight/fleet/doors/otlp"
)

const (
	grpcStreams   = 32 // at once on one connection
	grpcIdle      = 2 * time.Minute
	grpcHandshake = 10 * time.Second
	grpcHeader    = 16 << 10 // bytes
	stopGrace     = 3 * time.Second
)

// ServeGRPC answers OTLP over gRPC on ln until ctx ends; running requests then have
// three seconds.
func (d *Doors) ServeGRPC(ctx context.Context, ln net.Listener) error {
	srv := grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(int(d.o.Limits.Bytes)), grpc.MaxConcurrentStreams(grpcStreams),
		grpc.ConnectionTimeout(grpcHandshake), grpc.MaxHeaderListSize(grpcHeader), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: grpcIdle}),
	)
	for name, sig := range services() {
		srv.RegisterService(&grpc.ServiceDesc{
			ServiceName: name, HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{StreamName: "Export", ClientStreams: true, ServerStreams: true, Handler: d.serveStream(sig)}},
		}, d)
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		force := time.AfterFunc(stopGrace, srv.Stop)
		defer force.Stop()
		srv.GracefulStop()
	})
	err := srv.Serve(ln)
	if !stop() {
		<-stopped
	}
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve OTLP over gRPC on %s: %w", ln.Addr(), err)
	}
	return nil
}

// services are OTLP's, each with the one method Export.
func services() map[string]otlp.Signal {
	return map[string]otlp.Signal{
		"opentelemetry.proto.collector.metrics.v1.MetricsService": otlp.Metrics,
		"opentelemetry.proto.collector.trace.v1.TraceService":     otlp.Traces,
		"opentelemetry.proto.collector.logs.v1.LogsService":       otlp.Logs,
	}
}

// serveStream takes one export request. It is served as a stream, which looks the
// same to the sender, because then nothing of the request is read before its sender
// is known.
func (d *Doors) serveStream(sig otlp.Signal) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		ctx, cancel := context.WithTimeout(stream.Context(), d.o.Limits.Timeout)
		defer cancel()
		// The identifier knows requests: the credential is in the same header.
		md, _ := metadata.FromIncomingContext(ctx)
		src, err := d.o.Identify.Identify((&http.Request{Header: http.Header{"Authorization": md.Get("authorization")}}).WithContext(ctx))
		if err == nil {
			d.heard(src)
			err = d.o.Journal.Admit(src)
		}
		var answer []byte
		if err == nil {
			answer, err = d.exportStream(ctx, stream, src, sig)
		}
		if err != nil {
			f := faultOf(err)
			d.note(src, OTLP, f)
			return grpcFault(f)
		}
		return stream.SendMsg(&answer)
	}
}

func (d *Doors) exportStream(ctx context.Context, stream grpc.ServerStream, src buffer.Source, sig otlp.Signal) ([]byte, error) {
	// How large a request is shows only once it was read; a quarter of the largest
	// lets one node send four at once.
	release, err := hold(ctx, d.o.Limits.Bytes/4, d.share(src), d.messages)
	if err != nil {
		return nil, err
	}
	defer release()
	msg, err := receive(ctx, stream)
	if err != nil {
		return nil, err
	}
	return d.export(ctx, src, sig, otlp.Protobuf, msg, len(msg))
}

// receive reads the request of a stream, for as long as ctx lasts: a stream has no
// deadline of ours, but reading it ends when its handler returns.
func receive(ctx context.Context, stream grpc.ServerStream) ([]byte, error) {
	type received struct {
		msg []byte
		err error
	}
	got := make(chan received, 1)
	go func() {
		var msg []byte
		err := stream.RecvMsg(&msg)
		got <- received{msg, err}
	}()
	select {
	case r := <-got:
		switch {
		case status.Code(r.err) == codes.ResourceExhausted:
			return nil, faultf(tooLarge, "%s; send fewer at once", status.Convert(r.err).Message())
		case r.err != nil:
			return nil, later("request was cut short: %w", r.err)
		}
		return r.msg, nil
	case <-ctx.Done():
		return nil, later("request was not complete in time")
	}
}

// grpcFault says when to try again where that helps.
func grpcFault(f *fault) error {
	st := status.New(f.kind.code(), f.Error())
	if f.after > 0 {
		if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.after)}); err == nil {
			st = detailed
		}
	}
	return st.Err()
}

// rawCodec hands messages through as bytes, so that they can be bounded before they
// are unmarshalled.
type rawCodec struct{}

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	msg, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("%T is no raw message", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*msg)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	msg, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is no raw message", v)
	}
	*msg = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: what is raw here is protobuf to the sender.
func (rawCodec) Name() string { return "proto" }
