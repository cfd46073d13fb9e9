import Foundation
import Mesh
import Testing

@testable import ConfigSources

/// A configuration directory of a test's own, removed with it.
final class ConfigDirectory {
    let path: String

    init() throws {
        let base = FileManager.default.temporaryDirectory
        let url = base.appendingPathComponent("weft-config-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func url(_ name: String) -> URL { URL(fileURLWithPath: "\(path)/\(name)") }

    /// Replaces the file by renaming, as most writers do.
    func write(_ name: String, _ text: String) throws { try write(name, Data(text.utf8)) }

    func write(_ name: String, _ data: Data) throws { try data.write(to: url(name), options: .atomic) }

    func remove(_ name: String) throws { try FileManager.default.removeItem(at: url(name)) }

    func source(node: String = "node-a") -> DirectorySource {
        DirectorySource(path: path, options: MeshOptions(node: node))
    }
}

/// Reads one file's text as a whole configuration.
func load(_ text: String, options: MeshOptions = MeshOptions(node: "node-a")) throws -> ConfigOutcome {
    let directory = try ConfigDirectory()
    try directory.write("mesh.yaml", text)
    return validate(directory: directory.path, options: options)
}

/// The same, and requires that it is accepted.
func snapshot(_ text: String, options: MeshOptions = MeshOptions(node: "node-a")) throws -> MeshSnapshot {
    let outcome = try load(text, options: options)
    #expect(outcome.errors.map(\.description) == [])
    return try #require(outcome.snapshot)
}

extension ConfigOutcome {
    func status(_ kind: ResourceKind, _ namespace: String, _ name: String) -> ObjectStatus? {
        table.status(of: ObjectKey(kind, ObjectName(namespace: namespace, name: name)))
    }
}

extension MeshSnapshot {
    func service(_ namespace: String, _ name: String) throws -> MeshService {
        try #require(services[ObjectName(namespace: namespace, name: name)])
    }

    func workload(_ namespace: String, _ name: String) throws -> MeshWorkload {
        try #require(workloads[ObjectName(namespace: namespace, name: name)])
    }

    func policy(_ namespace: String, _ name: String) throws -> AuthorizationPolicy {
        try #require(policies[ObjectName(namespace: namespace, name: name)])
    }
}

/// `address:port` of each endpoint.
func places(_ endpoints: [MeshEndpoint]) -> [String] { endpoints.map { "\($0.address):\($0.port)" } }
