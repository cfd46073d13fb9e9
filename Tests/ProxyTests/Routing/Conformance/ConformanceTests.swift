import ConfigSources
import Foundation
import Mesh
import Testing

@testable import Proxy

/// The Gateway API's conformance cases from their manifests to what is decided and written, without sockets.
@Suite struct ConformanceTests {
    @Test(arguments: ConformanceCase.matching + ConformanceCase.filters)
    func conformance(_ conformance: ConformanceCase) throws {
        let table = try ConformanceTable(conformance.routes)
        for exchange in conformance.exchanges {
            let comment: Comment = "\(conformance.name): \(exchange.method) \(exchange.host)\(exchange.path)"
            let outcome = try table.outcome(exchange)
            #expect(outcome.status == exchange.status, comment)
            #expect(outcome.backend == exchange.backend, comment)
            if let location = exchange.location { #expect(outcome.response.fields["location"] == location, comment) }
            for (name, value) in exchange.responseHeaders {
                #expect(outcome.response.fields[name.lowercased()] == value, comment)
            }
            guard let forwarded = outcome.forwarded else { continue }
            #expect(forwarded.target == exchange.forwardedPath ?? exchange.path, comment)
            #expect(forwarded.fields["host"] == exchange.forwardedHost ?? exchange.host, comment)
            for (name, value) in exchange.forwardedHeaders {
                #expect(forwarded.fields[name.lowercased()] == value, comment)
            }
        }
    }
}

/// The cases' services with some routes.
private struct ConformanceTable {
    struct Outcome {
        var status: UInt16
        var backend: String?
        var forwarded: Head?
        var response: Head
    }

    struct Head {
        var target: String
        /// By lower-case name; several fields of one name are joined by commas.
        var fields: [String: String] = [:]

        init(_ text: String) {
            let lines = text.components(separatedBy: "\r\n")
            let start = lines[0].split(separator: " ")
            target = start.count > 1 ? String(start[1]) : ""
            for line in lines.dropFirst().prefix(while: { !$0.isEmpty }) {
                guard let colon = line.firstIndex(of: ":") else { continue }
                let name = line[..<colon].lowercased()
                let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                fields[name] = fields[name].map { $0 + "," + value } ?? value
            }
        }
    }

    private let table: RouteTable
    private let identifiers: RouteIdentifiers

    init(_ routes: String) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("weft-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: directory) }
        let text = Self.services + routes
        try Data(text.utf8).write(to: directory.appendingPathComponent("mesh.yaml"))
        let outcome = validate(directory: directory.path, options: MeshOptions(node: "node-a"))
        #expect(outcome.errors.map(\.description) == [])
        let snapshot = try #require(outcome.snapshot)
        var identifiers = RouteIdentifiers()
        for service in snapshot.services.values {
            for port in service.ports {
                identifiers.services[.init(service: service.name, port: port.port)] = [
                    UInt64(identifiers.services.count + 1)
                ]
            }
        }
        for name in snapshot.workloads.keys.sorted() {
            identifiers.workloads[name] = UInt64(identifiers.workloads.count + 1)
        }
        table = RouteTable(snapshot, identifiers: identifiers)
        self.identifiers = identifiers
    }

    private static let services =
        ["echo", "echo-v1", "echo-v2", "echo-v3"].enumerated().map { index, name in
            """
            ---
            apiVersion: v1
            kind: Service
            metadata: { name: \(name), namespace: \(ConformanceCase.namespace) }
            spec: { clusterIP: 127.96.2.\(index + 1), ports: [{ name: http, port: 80 }, { name: http-alt, port: 8080 }] }

            """
        }.joined()
        + ["", "-consumer"].map { suffix in
            """
            ---
            apiVersion: weft.dev/v1alpha1
            kind: Workload
            metadata: { name: client, namespace: \(ConformanceCase.namespace)\(suffix) }
            spec: { addresses: [127.96.3.\(suffix.isEmpty ? 1 : 2)] }

            """
        }.joined()

    func outcome(_ exchange: ConformanceExchange) throws -> Outcome {
        let name = ObjectName(namespace: ConformanceCase.namespace, name: exchange.service)
        let identifier = try #require(identifiers.services[.init(service: name, port: exchange.port)]?.first)
        let service = try #require(table.service(identifier))
        let client = ObjectName(namespace: exchange.client, name: "client")
        let request = SyntheticRequest(
            method: exchange.method, target: exchange.path, host: exchange.host,
            headers: exchange.headers.map { ($0.key, $0.value) }, source: try #require(identifiers.workloads[client]))
        return try request.withView { view in
            var scratch = Scratch()
            let decision = table.route(service, view, random: 0)
            guard decision.kind == .forward else {
                table.writeLocalResponse(decision, service: service, view, .init(), into: &scratch)
                let response = Head(String(scratch.bytes))
                return Outcome(status: UInt16(response.target) ?? 0, backend: nil, forwarded: nil, response: response)
            }
            table.writeRequestHead(
                decision, service: service, view, MessageOptions(framing: .none), extra: RawSpan(), into: &scratch)
            let forwarded = Head(String(scratch.bytes))
            return Outcome(
                status: 200, backend: table.clusters[Int(decision.cluster)].key.service.name, forwarded: forwarded,
                response: Head(response(to: view, decision, exchange)))
        }
    }

    private func response(
        to view: borrowing RequestView, _ decision: RouteDecision, _ exchange: ConformanceExchange
    ) -> String {
        let lines = exchange.backendHeaders.map { "\($0.key): \($0.value)\r\n" }.joined()
        let bytes = Array("HTTP/1.1 200 OK\r\n\(lines)Content-Length: 0\r\n\r\n".utf8)
        let span = unsafe bytes.span.bytes
        var progress = HeadProgress()
        var head = ResponseHead()
        var fields = FieldTable()
        let result = ResponseParser.parse(
            span, method: view.head.method, progress: &progress, head: &head, fields: &fields)
        #expect(result == .complete)
        var scratch = Scratch()
        var origin = RawSpan()
        if let slice = view.slice(of: .origin) { origin = view.bytes[slice] }
        table.writeResponseHead(
            decision, head, fields.fields, of: span, origin: origin, MessageOptions(framing: head.framing),
            extra: RawSpan(), into: &scratch)
        return String(scratch.bytes)
    }
}
