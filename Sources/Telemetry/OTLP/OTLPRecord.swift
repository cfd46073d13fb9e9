public import Protobuf

/// Who a span or a log record is from, in OpenTelemetry's words.
/// Source: https://opentelemetry.io/docs/specs/semconv/resource/
public struct OTLPResource: Hashable, Sendable {
    public var serviceName: String
    public var serviceNamespace: String?
    public var serviceVersion: String?
    /// The workload: `namespace/name`.
    public var instance: String?
    /// The node.
    public var host: String

    public init(serviceName: String, host: String) {
        self.serviceName = serviceName
        self.host = host
    }

    /// A workload: its canonical service is the service, as in Istio.
    public init(_ workload: WorkloadLabels, host: String) {
        self.init(serviceName: workload.canonicalService ?? workload.workload, host: host)
        serviceNamespace = workload.namespace
        serviceVersion = workload.canonicalRevision == "latest" ? nil : workload.canonicalRevision
        instance = workload.fullName
    }

    /// Writes a message `Resource`.
    func write(_ writer: inout ProtobufWriter) {
        writer.attribute(1, "service.name", serviceName)
        if let serviceNamespace { writer.attribute(1, "service.namespace", serviceNamespace) }
        if let serviceVersion { writer.attribute(1, "service.version", serviceVersion) }
        if let instance { writer.attribute(1, "service.instance.id", instance) }
        writer.attribute(1, "host.name", host)
        writer.attribute(1, "weft.node", host)
    }
}

/// A span or a log record on its way to a collector.
public struct OTLPRecord: Sendable {
    public var resource: OTLPResource
    /// A message `Span` or `LogRecord`.
    public var message: [UInt8]

    public init(_ resource: OTLPResource, message: [UInt8]) {
        self.resource = resource
        self.message = message
    }

    /// The message `ExportTraceServiceRequest` or `ExportLogsServiceRequest` of some records: the fields have the same
    /// numbers in both.
    /// Source: opentelemetry/proto/collector/{trace,logs}/v1
    static func request(_ records: some Sequence<OTLPRecord>, version: String) -> [UInt8] {
        var order: [OTLPResource] = []
        var messages: [OTLPResource: [[UInt8]]] = [:]
        for record in records {
            if messages[record.resource] == nil { order.append(record.resource) }
            messages[record.resource, default: []].append(record.message)
        }
        var writer = ProtobufWriter()
        for resource in order {
            writer.message(1) { writer in
                writer.message(1) { resource.write(&$0) }
                writer.message(2) { writer in
                    writer.message(1) { scope in
                        scope.string(1, "weft")
                        scope.string(2, version)
                    }
                    for message in messages[resource] ?? [] { writer.bytes(2, message) }
                }
            }
        }
        return writer.bytes
    }
}

extension ProtobufWriter {
    /// A `KeyValue` with a text.
    public mutating func attribute(_ field: Int, _ key: String, _ value: String) {
        message(field) {
            $0.string(1, key)
            $0.message(2) { $0.string(1, value) }
        }
    }

    /// A `KeyValue` with a whole number.
    public mutating func attribute(_ field: Int, _ key: String, _ value: Int64) {
        message(field) {
            $0.string(1, key)
            $0.message(2) { $0.integer(3, value) }
        }
    }

    /// A `KeyValue` with yes or no.
    public mutating func attribute(_ field: Int, _ key: String, _ value: Bool) {
        message(field) {
            $0.string(1, key)
            $0.message(2) { $0.bool(2, value) }
        }
    }

    /// A `KeyValue` with a list of texts.
    public mutating func attribute(_ field: Int, _ key: String, _ values: [String]) {
        message(field) {
            $0.string(1, key)
            $0.message(2) { value in
                value.message(5) { list in for text in values { list.message(1) { $0.string(1, text) } } }
            }
        }
    }
}
