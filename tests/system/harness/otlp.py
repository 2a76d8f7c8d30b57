"""A receiver of OpenTelemetry's log records over gRPC and TLS, which decodes them by descriptors of its own, written after
opentelemetry-proto 1.x, and not by the gateway's."""

import json
import threading
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from .build import SCALE
from .gateway import free_port
from .rsyslog import Authority

FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "string": FIELD.TYPE_STRING,
    "bytes": FIELD.TYPE_BYTES,
    "bool": FIELD.TYPE_BOOL,
    "int32": FIELD.TYPE_INT32,
    "int64": FIELD.TYPE_INT64,
    "uint32": FIELD.TYPE_UINT32,
    "double": FIELD.TYPE_DOUBLE,
    "fixed32": FIELD.TYPE_FIXED32,
    "fixed64": FIELD.TYPE_FIXED64,
}
# SeverityNumber is an enum, which stands on the wire as an int32 does. "*": repeated.
MESSAGES = {
    "AnyValue": "string_value:string=1 bool_value:bool=2 int_value:int64=3 double_value:double=4 array_value:ArrayValue=5 "
    "kvlist_value:KeyValueList=6 bytes_value:bytes=7",
    "ArrayValue": "values:*AnyValue=1",
    "KeyValueList": "values:*KeyValue=1",
    "KeyValue": "key:string=1 value:AnyValue=2",
    "InstrumentationScope": "name:string=1 version:string=2 attributes:*KeyValue=3 dropped_attributes_count:uint32=4",
    "Resource": "attributes:*KeyValue=1 dropped_attributes_count:uint32=2",
    "LogRecord": "time_unix_nano:fixed64=1 severity_number:int32=2 severity_text:string=3 body:AnyValue=5 "
    "attributes:*KeyValue=6 dropped_attributes_count:uint32=7 flags:fixed32=8 trace_id:bytes=9 span_id:bytes=10 "
    "observed_time_unix_nano:fixed64=11 event_name:string=12",
    "ScopeLogs": "scope:InstrumentationScope=1 log_records:*LogRecord=2 schema_url:string=3",
    "ResourceLogs": "resource:Resource=1 scope_logs:*ScopeLogs=2 schema_url:string=3",
    "ExportLogsServiceRequest": "resource_logs:*ResourceLogs=1",
    "ExportLogsPartialSuccess": "rejected_log_records:int64=1 error_message:string=2",
    "ExportLogsServiceResponse": "partial_success:ExportLogsPartialSuccess=1",
    "Status": "code:int32=1 message:string=2 details:*Any=3",  # google.rpc.Status
    "Any": "type_url:string=1 value:bytes=2",  # google.protobuf.Any
    "RetryInfo": "retry_delay:Duration=1",  # google.rpc.RetryInfo
    "Duration": "seconds:int64=1 nanos:int32=2",  # google.protobuf.Duration
}
METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def _classes():
    file = descriptor_pb2.FileDescriptorProto(name="receiver.proto", package="receiver", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            field_name, rest = text.split(":")
            kind, number = rest.split("=")
            field = message.field.add(name=field_name, number=int(number))
            field.label = FIELD.LABEL_REPEATED if kind.startswith("*") else FIELD.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind in TYPES:
                field.type = TYPES[kind]
            else:
                field.type, field.type_name = FIELD.TYPE_MESSAGE, f".receiver.{kind}"
            if name == "AnyValue":
                field.oneof_index = 0
        if name == "AnyValue":
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(f"receiver.{name}")) for name in MESSAGES}


CLASSES = _classes()


def values(attributes):
    out = {}
    for each in attributes:
        assert each.key not in out
        out[each.key] = getattr(each.value, each.value.WhichOneof("value"))
    return out


def check_known(message):
    """Asserts that nothing was sent that OpenTelemetry does not know."""
    assert len(message.UnknownFields()) == 0, message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for each in value if field.label == field.LABEL_REPEATED else [value]:
                check_known(each)


class Collector:
    """Asks for a client certificate of the authority. May be stopped and started again; what was received stays."""

    def __init__(self, folder, name="collector.example"):
        self.folder = Path(folder)
        self.authority = Authority(self.folder)
        self.identity = self.authority.issue(name, "serverAuth")
        self.client = self.authority.issue("gateway.example", "clientAuth")
        self.name = name
        self.port = free_port()
        self.server = None
        self.lock = threading.Lock()
        self.received = []  # (resource, record) in the order in which they came
        self.requests = 0
        self.rejected = set()  # the sequences that it does not take, by partial success ...
        self.refused = set()  # ... and those because of which it takes nothing of a request
        self.answer = None  # (code, text, seconds to be left alone or None) for everything
        self.answering = threading.Event()
        self.answering.set()

    def start(self):
        certificate, key = self.identity
        credentials = grpc.ssl_server_credentials(
            [(key.read_bytes(), certificate.read_bytes())], self.authority.certificate.read_bytes(), require_client_auth=True
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(
            self.export,
            request_deserializer=CLASSES["ExportLogsServiceRequest"].FromString,
            response_serializer=CLASSES["ExportLogsServiceResponse"].SerializeToString,
        )
        service, method = METHOD.strip("/").split("/")
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        assert self.server.add_secure_port(f"127.0.0.1:{self.port}", credentials) == self.port
        self.server.start()
        return self

    def stop(self):
        self.answering.set()
        if self.server:
            self.server.stop(0).wait(60 * SCALE)
            self.server = None

    def export(self, request, context):
        with self.lock:
            self.requests += 1
            answer = self.answer
        if not self.answering.wait(60 * SCALE) or not context.is_active():
            context.abort(grpc.StatusCode.UNAVAILABLE, "nobody waits for this")
        if answer:
            code, text, pause = answer
            if pause is not None:
                info = CLASSES["RetryInfo"]()
                info.retry_delay.seconds = pause
                status = CLASSES["Status"](code=code.value[0], message=text)
                status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=info.SerializeToString())
                context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
            context.abort(code, text)
        check_known(request)
        taken, rejected = [], 0
        for of_resource in request.resource_logs:
            for scope in of_resource.scope_logs:
                for record in scope.log_records:
                    sequence = values(record.attributes)["usher.sequence"]
                    if sequence in self.refused:
                        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a record is not to our liking")
                    if sequence in self.rejected:
                        rejected += 1
                    else:
                        taken.append((of_resource.resource, record))
        with self.lock:
            self.received += taken
        response = CLASSES["ExportLogsServiceResponse"]()
        if rejected:
            response.partial_success.rejected_log_records = rejected
            response.partial_success.error_message = "not to our liking"
        return response

    def records(self):
        with self.lock:
            return [record for _, record in self.received]

    def resources(self):
        with self.lock:
            return [values(resource.attributes) for resource, _ in self.received]

    def sequences(self):
        return [values(record.attributes)["usher.sequence"] for record in self.records()]

    def events(self):
        """Each record's body."""
        return [json.loads(record.body.string_value) for record in self.records()]

    def sink(self, **more):
        """The gateway's configuration of this receiver."""
        certificate, key = self.client
        return {
            "name": "siem",
            "kind": "otlp",
            "address": f"127.0.0.1:{self.port}",
            "server_name": self.name,
            "ca": str(self.authority.certificate),
            "certificate": str(certificate),
            "private_key": str(key),
            **more,
        }
