import Foundation

/// An application of three services that call each other: `front` calls `api`, which calls `db` twice. Each is in a cgroup
/// of its own, and `client` calls the first.
struct ThreeServices {
    private static let names = ["front", "api", "db"]

    let sandbox: Sandbox
    /// One, or two: every call goes from one of them to the other.
    let nodes: [Node]
    /// The service `front`.
    private let address: String
    private let client: (cgroup: String, namespace: NetworkNamespace?)

    var node: Node { nodes[0] }

    /// On one node.
    ///
    /// - Parameter routed: services whose requests go through the proxy.
    static func run(routed: [String], _ body: (ThreeServices) throws -> Void) throws {
        try Sandbox.run { sandbox in
            let application = ThreeServices(
                sandbox: sandbox, nodes: [try Node(sandbox)], address: "127.96.0.30", client: ("client", nil))
            for name in ["client"] + names { try sandbox.makeCgroup(name) }
            var documents = [Manifest.workload("client", cgroup: sandbox.cgroupPath("client"))]
            for (number, name) in names.enumerated() {
                documents.append(Manifest.selecting(name, address: "127.96.0.3\(number)", app: name))
                documents.append(
                    Manifest.workload(
                        "\(name)-1", cgroup: sandbox.cgroupPath(name), app: name,
                        addresses: [sandbox.address(number + 1)], port: 8080))
            }
            documents += routed.map { Manifest.route($0, service: $0) }
            try application.node.start(documents.joined(separator: "---\n"))
            for (number, name) in names.enumerated() {
                try application.serve(
                    name, at: sandbox.address(number + 1), next: "127.96.0.3\(number + 1)", in: name, namespace: nil)
            }
            try body(application)
        }
    }

    /// On two nodes: `client` and `api` on one, `front` and `db` on the other.
    static func runAcrossNodes(_ body: (ThreeServices) throws -> Void) throws {
        try Cluster.run { cluster in
            let application = ThreeServices(
                sandbox: cluster.sandbox, nodes: [cluster.a, cluster.b], address: "10.96.0.30",
                client: ("a/client", cluster.a.namespace))
            var documents = [
                cluster.workload("client", node: "node-a", address: Cluster.client, cgroup: "a/client")
            ]
            let places = names.enumerated().map { number, name in
                let node = number == 1 ? cluster.a : cluster.b
                let cgroup = "\(number == 1 ? "a" : "b")/\(name)"
                return (name: name, node: node, cgroup: cgroup, address: "10.77.0.3\(number)")
            }
            for (number, place) in places.enumerated() {
                try cluster.sandbox.makeCgroup(place.cgroup)
                try cluster.add(place.address, to: place.node)
                documents.append(Manifest.selecting(place.name, address: "10.96.0.3\(number)", app: place.name))
                // Named as on one node: the workload `front-1` of the application `front`.
                documents.append(
                    cluster.workload(
                        "\(place.name)-1", app: place.name, node: place.node.name, address: place.address,
                        cgroup: place.cgroup, port: 8080))
            }
            for node in application.nodes { try node.apply(documents.joined(separator: "---\n")) }
            for (number, place) in places.enumerated() {
                try application.serve(
                    place.name, at: place.address, next: "10.96.0.3\(number + 1)", in: place.cgroup,
                    namespace: place.node.namespace)
            }
            try body(application)
        }
    }

    private func serve(
        _ name: String, at address: String, next: String, in cgroup: String, namespace: NetworkNamespace?
    ) throws {
        let arguments = [name, address, "8080", name == Self.names.last ? "-" : next]
        let server = try sandbox.start(
            [Host.python, Host.script("application.py")] + arguments, in: cgroup, namespace: namespace)
        try server.waitForOutput("listening") { $0.contains("ready\n") }
    }

    /// Sends requests one after the other from the workload `client`; the statuses.
    func send(_ path: String, count: Int) throws -> [Int] {
        let result = try sandbox.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n", "http://\(address)\(path)?[1-\(count)]"],
            in: client.cgroup, namespace: client.namespace)
        return result.output.split(separator: "\n").compactMap { Int($0) }
    }

    /// Rows by name.
    func stat(_ arguments: String...) throws -> [String: JSON] {
        let result = try node.run(["stat"] + arguments + ["--window", "5m", "-o", "json"])
        guard result.succeeded else { throw TestFailure("weft stat: \(result.errors)") }
        let rows = try JSON(result.output).array
        return Dictionary(rows.map { ($0["name"].string ?? "", $0) }) { first, _ in first }
    }
}
