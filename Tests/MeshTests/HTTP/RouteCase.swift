import Foundation
import Testing

/// One behaviour of an HTTPRoute: a manifest, and a table of requests with what has to come of them.
struct RouteCase: CustomTestStringConvertible, Sendable {
    /// The conformance test whose behaviour it is, by the Gateway API's name.
    let name: String
    let manifest: String
    let rows: [Row]

    var testDescription: String { name }

    struct Row: Sendable {
        var method = "GET"
        var path = "/"
        var headers: [String: String] = [:]
        /// Sent to this service address in place of `web`'s.
        var address = HTTPMesh.web
        var status = 200
        var pod: String?
        /// The path (and query) that the backend sees.
        var seenPath: String?
        /// Fields that the backend sees; nil: that it must not see.
        var seen: [String: String?] = [:]
        /// Fields of the answer; nil: that it must not have.
        var answered: [String: String?] = [:]
        var reason: String?
    }

    /// Puts the manifest in force and checks every row.
    func check(in mesh: HTTPMesh) throws {
        try mesh.apply(manifest)
        for row in rows {
            let request = HTTPRequestRow(method: row.method, path: row.path, headers: row.headers)
            let reply = try #require(try mesh.send([request], to: row.address).first)
            let what = "\(name): \(row.method) \(row.path) \(row.headers): \(reply)"
            #expect(reply.status == row.status, "\(what)")
            if let pod = row.pod { #expect(reply.pod == pod, "\(what)") }
            if let path = row.seenPath { #expect(reply.path == path, "\(what)") }
            for (field, value) in row.seen { #expect(reply.received(field) == value, "\(field) of \(what)") }
            for (field, value) in row.answered { #expect(reply.header(field) == value, "\(field) of \(what)") }
            if let reason = row.reason { #expect(reply.header("x-weft-reason") == reason, "\(what)") }
        }
    }

    /// An HTTPRoute of the service `web` with these rules, indented by two.
    static func route(_ rules: String, hostnames: [String] = [], name: String = "web", port: Int? = nil) -> String {
        """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: { name: \(name), namespace: shop }
        spec:
          parentRefs: [{ group: "", kind: Service, name: web\(port.map { ", port: \($0)" } ?? "") }]
        \(hostnames.isEmpty ? "" : "  hostnames: [\(hostnames.map { "\"\($0)\"" }.joined(separator: ", "))]\n")\
          rules:
        \(rules)

        """
    }

    static let v1 = "backendRefs: [{ name: web-v1, port: 80 }]"
    static let v2 = "backendRefs: [{ name: web-v2, port: 80 }]"
}
