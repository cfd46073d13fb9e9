import Foundation

/// A node with three workloads that opted in to acceleration: `client`, `server` behind the service `web`, and `middle`
/// behind the service of its name, which is what stands between the two.
struct AcceleratedMesh {
    static let web = "127.96.0.40"
    static let middle = "127.96.0.41"
    static let port = 8080

    let sandbox: Sandbox
    let node: Node
    /// Of every agent of this node: no control group, and the cap.
    let startOptions: [String]
    /// Workloads that did not opt in.
    var plain: Set<String> = []
    var serverAddress: String { sandbox.address(1) }
    var middleAddress: String { sandbox.address(2) }
    /// Of one more workload, `other`, which no service has by itself.
    var otherAddress: String { sandbox.address(3) }

    /// Starts an agent without a control group, and gives it to `body`.
    ///
    /// - Parameters:
    ///   - capBytes: of what may wait for its reader outside of TCP, in one direction of a connection.
    ///   - isAccelerated: false: nobody opted in, and the same connections are plain TCP.
    ///   - needsCertificates: whether opting in is not enough.
    ///   - plain: workloads that do not opt in.
    static func run(
        capBytes: Int = 64 * 1024, isAccelerated: Bool = true, needsCertificates: Bool = false, plain: Set<String> = [],
        _ body: (AcceleratedMesh) throws -> Void
    ) throws {
        try Sandbox.run { sandbox in
            let mesh = AcceleratedMesh(
                sandbox: sandbox, node: try Node(sandbox),
                startOptions: [
                    "--acceleration", needsCertificates ? "certified" : "opted-in", "--redirect-cap", "\(capBytes)",
                    "--acceleration-control", "0",
                ], plain: plain)
            for name in ["server", "other", "middle", "client"] { try sandbox.makeCgroup(name) }
            try mesh.node.start(mesh.manifest(isAccelerated: isAccelerated), mesh.startOptions)
            try body(mesh)
        }
    }

    /// The configuration. `endpoints`: whom `web` has instead of `server`.
    func manifest(isAccelerated: Bool = true, endpoints: [String]? = nil) -> String {
        func workload(_ name: String, _ addresses: [String]) -> String {
            Manifest.workload(
                name, cgroup: sandbox.cgroupPath(name), addresses: addresses,
                port: addresses.isEmpty ? nil : Self.port, isAccelerated: isAccelerated && !plain.contains(name))
        }
        return Manifest.file(
            endpoints.map { Manifest.service("web", address: Self.web, endpoints: $0) }
                ?? Manifest.selecting("web", address: Self.web, app: "server"),
            Manifest.selecting("middle", address: Self.middle, app: "middle"),
            workload("server", [serverAddress]), workload("other", [otherAddress]),
            workload("middle", [middleAddress]), workload("client", []))
    }

    // MARK: What the kernel counted

    /// What became of connections that could be accelerated.
    struct Counted {
        var connections = 0
        var redirectedBytes = 0
        var redirectedSends = 0
        var demotions = 0
        var promotions = 0
        /// By the reason's name.
        var slowSends: [String: Int] = [:]
        var slowConnections: [String: Int] = [:]
    }

    /// The counters of the connections between two workloads; nil: of any.
    func counted(from source: String? = nil, to destination: String? = nil) throws -> Counted {
        var total = Counted()
        for entry in try node.weftJSON("map", "dump", "acceleration").array {
            if let source, entry["source"].string != "shop/\(source)" { continue }
            if let destination, entry["destination"].string != "shop/\(destination)" { continue }
            total.connections += entry["connections"].int ?? 0
            total.redirectedBytes += entry["redirectedBytes"].int ?? 0
            total.redirectedSends += entry["redirectedSends"].int ?? 0
            total.demotions += entry["demotions"].int ?? 0
            total.promotions += entry["promotions"].int ?? 0
            for (reason, count) in entry["slowSends"].object {
                total.slowSends[reason, default: 0] += count.int ?? 0
            }
            for (reason, count) in entry["slowConnections"].object {
                total.slowConnections[reason, default: 0] += count.int ?? 0
            }
        }
        return total
    }
}
