"""Takes what a collector forwards over OTLP/HTTP, decodes it with Google's protobuf, and shows the newest point of each
series and every span: GET / gives JSON, one entry a series, and GET /spans one entry for each time that a span came. The
port is printed when it listens."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

lock = threading.Lock()
newest = {}
spans = []


def text(value):
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def attributes(pairs):
    return {pair.key: text(pair.value) for pair in pairs}


def point_of(kind, point):
    if kind in ("gauge", "sum"):
        return {"value": point.as_double if point.WhichOneof("value") == "as_double" else point.as_int}
    shown = {"count": point.count, "sum": point.sum}
    if kind == "histogram":
        return shown | {"bounds": list(point.explicit_bounds), "counts": list(point.bucket_counts)}
    positive = point.positive
    shown |= {"scale": point.scale, "zero_count": point.zero_count, "zero_threshold": point.zero_threshold}
    return shown | {"offset": positive.offset, "counts": list(positive.bucket_counts)}


def keep(request):
    for of_resource in request.resource_metrics:
        resource = attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                for point in data.data_points:
                    labels = attributes(point.attributes)
                    shown = {
                        "name": metric.name, "unit": metric.unit, "kind": kind, "attributes": labels, "resource": resource,
                        "monotonic": kind == "sum" and data.is_monotonic,
                        "temporality": getattr(data, "aggregation_temporality", 0),
                        "start": point.start_time_unix_nano, "time": point.time_unix_nano,
                    } | point_of(kind, point)
                    key = (metric.name, json.dumps(labels, sort_keys=True))
                    with lock:
                        if key not in newest or newest[key]["time"] <= shown["time"]:
                            newest[key] = shown


def keep_spans(request):
    for of_resource in request.resource_spans:
        resource = attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                shown = {
                    "trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex() or None, "trace_state": span.trace_state,
                    "sampled": span.flags & 1 == 1, "name": span.name,
                    "kind": trace.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
                    "failed": span.status.code == trace.Status.STATUS_CODE_ERROR,
                    "attributes": attributes(span.attributes), "resource": resource,
                    "scope": of_scope.scope.name, "schema": of_scope.schema_url,
                }
                with lock:
                    spans.append(shown)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/v1/metrics"):
            request = service.ExportMetricsServiceRequest()
            request.ParseFromString(body)
            keep(request)
        if self.path.endswith("/v1/traces"):
            request = trace_service.ExportTraceServiceRequest()
            request.ParseFromString(body)
            keep_spans(request)
        self.answer(b"", "application/x-protobuf")

    def do_GET(self):
        with lock:
            shown = list(spans) if self.path == "/spans" else list(newest.values())
        self.answer(json.dumps(shown).encode(), "application/json")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"decoding on {server.server_port}", flush=True)
server.serve_forever()
