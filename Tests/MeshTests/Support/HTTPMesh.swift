import Foundation

/// A mesh with HTTP: the service `web` over the backends `web-v1` and `web-v2`, a service for each of the two alone, and
/// the workload `client` that calls them.
struct HTTPMesh {
    static let web = "127.96.0.20"
    static let webV1 = "127.96.0.21"
    static let webV2 = "127.96.0.22"

    let sandbox: Sandbox
    let node: Node

    /// Starts backends and an agent with these documents beside the mesh's own.
    static func run(_ documents: String..., flags: [String] = [], body: (HTTPMesh) throws -> Void) throws {
        try Sandbox.run { sandbox in
            let mesh = HTTPMesh(sandbox: sandbox, node: try Node(sandbox))
            for name in ["v1", "v2", "client"] { try sandbox.makeCgroup(name) }
            try mesh.backend("web-v1", 1, in: "v1")
            try mesh.backend("web-v2", 2, in: "v2")
            try mesh.node.start(mesh.manifest + "---\n" + documents.joined(separator: "---\n"), flags)
            try body(mesh)
        }
    }

    /// Starts an echo server at one of the sandbox's addresses, port 8080.
    @discardableResult
    func backend(_ name: String, _ number: Int, in workload: String) throws -> Command {
        let server = try sandbox.start(
            [Host.python, Host.script("echo.py"), name, sandbox.address(number), "8080"], in: workload)
        try server.waitForOutput("listening") { $0.contains("ready\n") }
        return server
    }

    /// Services and workloads.
    var manifest: String {
        [
            Manifest.selecting("web", address: Self.web, app: "web"),
            Manifest.service("web-v1", address: Self.webV1, endpoints: [sandbox.address(1)]),
            Manifest.service("web-v2", address: Self.webV2, endpoints: [sandbox.address(2)]),
            workload("web-v1", 1, version: "v1"), workload("web-v2", 2, version: "v2"),
            Manifest.workload("client", cgroup: sandbox.cgroupPath("client")),
        ].joined(separator: "---\n")
    }

    private func workload(_ name: String, _ number: Int, version: String) -> String {
        """
        apiVersion: weft.dev/v1alpha1
        kind: Workload
        metadata: { name: \(name), namespace: shop, labels: { app: web, version: \(version) } }
        spec:
          serviceAccount: web
          match: { cgroup: "\(sandbox.cgroupPath(version))" }
          addresses: ["\(sandbox.address(number))"]
          ports: [{ name: main, port: 8080 }]

        """
    }

    /// Puts other documents in force beside the mesh's own.
    func apply(_ documents: String...) throws {
        try node.apply(manifest + "---\n" + documents.joined(separator: "---\n"))
    }

    /// Sends each request on a connection of its own.
    func send(
        _ requests: [HTTPRequestRow], to address: String = web, port: Int = 80, from workload: String? = "client",
        namespace: NetworkNamespace? = nil
    ) throws -> [HTTPReply] {
        try sandbox.send(requests, to: address, port: port, from: workload, namespace: namespace)
    }

    func get(_ path: String, headers: [String: String] = [:], to address: String = web) throws -> HTTPReply {
        guard let reply = try send([HTTPRequestRow(path: path, headers: headers)], to: address).first else {
            throw TestFailure("no answer from the client script")
        }
        return reply
    }

    /// How often each pod answers `count` requests on one connection.
    func pods(_ path: String, count: Int, headers: [String: String] = [:]) throws -> [String: Int] {
        var request = HTTPRequestRow(path: path, headers: headers)
        request.count = count
        let answer = try http(
            "table", ["address": Self.web, "port": 80, "requests": [request.parameters]], in: "client")
        return answer[0]["pods"].object.compactMapValues(\.int)
    }

    /// One mode of http_client.py, run to its end.
    func http(
        _ mode: String, _ parameters: [String: Any], in workload: String = "client",
        namespace: NetworkNamespace? = nil, timeout: Double = 120
    ) throws -> JSON {
        do {
            return try sandbox.http(mode, parameters, in: workload, namespace: namespace, timeout: timeout)
        } catch {
            throw TestFailure("\(error); agent: \(node.agentLog.suffix(2000))")
        }
    }

    func startHTTP(
        _ mode: String, _ parameters: [String: Any], in workload: String = "client",
        namespace: NetworkNamespace? = nil
    ) throws -> Command {
        try sandbox.startHTTP(mode, parameters, in: workload, namespace: namespace)
    }
}

/// The modes of http_client.py.
extension Sandbox {
    /// Sends each request on a connection of its own. A workload of nil is a process outside of the guarded cgroup.
    func send(
        _ requests: [HTTPRequestRow], to address: String, port: Int, from workload: String?,
        namespace: NetworkNamespace? = nil
    ) throws -> [HTTPReply] {
        let answer = try http(
            "table", ["address": address, "port": port, "requests": requests.map(\.parameters)], in: workload,
            namespace: namespace)
        return answer.array.map(HTTPReply.init)
    }

    func http(
        _ mode: String, _ parameters: [String: Any], in workload: String?, namespace: NetworkNamespace? = nil,
        timeout: Double = 120
    ) throws -> JSON {
        let result = try startHTTP(mode, parameters, in: workload, namespace: namespace).wait(timeout: timeout)
        guard result.succeeded, let line = result.output.split(separator: "\n").last else {
            throw TestFailure("http client \(mode) failed: \(result.errors)")
        }
        return try JSON(String(line))
    }

    func startHTTP(
        _ mode: String, _ parameters: [String: Any], in workload: String?, namespace: NetworkNamespace? = nil
    ) throws -> Command {
        let json = try JSONSerialization.data(withJSONObject: parameters, options: .sortedKeys)
        return try start(
            [Host.python, Host.script("http_client.py"), mode, String(decoding: json, as: UTF8.self)], in: workload,
            namespace: namespace)
    }
}

/// A request of a table.
struct HTTPRequestRow {
    var method = "GET"
    var path = "/"
    var headers: [String: String] = [:]
    var body = ""
    var count: Int?

    var parameters: [String: Any] {
        var parameters: [String: Any] = ["method": method, "path": path, "headers": headers, "body": body]
        if let count { parameters["count"] = count }
        return parameters
    }
}

/// An answer, and what the echo backend says that it received.
struct HTTPReply {
    let status: Int
    let headers: [(name: String, value: String)]
    let body: String
    let echo: JSON?

    init(_ json: JSON) {
        status = json["status"].int ?? 0
        headers = json["headers"].array.map { ($0[0].string ?? "", $0[1].string ?? "") }
        body = json["body"].string ?? ""
        echo = try? JSON(body)
    }

    var pod: String? { echo?["pod"].string }
    /// Why the agent answered itself.
    var reason: String? { header("x-weft-reason") }
    /// The path as the backend saw it.
    var path: String? { echo?["path"].string }

    /// The values of a field of the answer, joined as HTTP says.
    func header(_ name: String) -> String? {
        let values = headers.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }

    /// The values of a field of the request as the backend saw it.
    func received(_ name: String) -> String? {
        let values = echo?["headers"].array.filter { $0[0].string?.lowercased() == name.lowercased() }
            .compactMap { $0[1].string }
        guard let values, !values.isEmpty else { return nil }
        return values.joined(separator: ", ")
    }
}
