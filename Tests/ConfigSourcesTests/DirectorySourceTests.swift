import Foundation
import Mesh
import Testing

@testable import ConfigSources

@Suite("DirectorySource")
struct DirectorySourceTests {
    private func service(_ name: String, _ address: String) -> String {
        """
        apiVersion: v1
        kind: Service
        metadata: { name: \(name), namespace: shop }
        spec: { clusterIP: \(address), ports: [{ port: 80 }] }

        """
    }

    private func names(_ outcome: ConfigOutcome) -> [String]? { outcome.snapshot?.services.keys.map(\.name).sorted() }

    @Test("sees files made, replaced by rename, written in place and removed")
    func changes() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        #expect(names(source.reload()) == [])
        #expect(!source.waitForChange(timeout: 50))

        try directory.write("a.yaml", service("a", "127.96.0.1"))
        #expect(source.waitForChange(timeout: 2000))
        #expect(names(source.reload()) == ["a"])

        try Data(service("b", "127.96.0.2").utf8).write(to: directory.url("a.yaml"))
        #expect(source.waitForChange(timeout: 2000))
        #expect(names(source.reload()) == ["b"])

        try FileManager.default.moveItem(at: directory.url("a.yaml"), to: directory.url("b.yml"))
        #expect(source.waitForChange(timeout: 2000))
        let moved = source.reload()
        #expect(names(moved) == ["b"])
        #expect(moved.status(.service, "shop", "b")?.source.file == "b.yml")

        try directory.remove("b.yml")
        #expect(source.waitForChange(timeout: 2000))
        #expect(names(source.reload()) == [])
        #expect(!source.waitForChange(timeout: 50))
    }

    @Test("takes a burst together, and waits for a file that is being written")
    func burst() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        let generation = try #require(source.reload().snapshot).generation
        for index in 0..<200 { try directory.write("\(index).yaml", service("s\(index)", "127.96.1.\(index)")) }
        #expect(source.waitForChange(timeout: 2000))
        let outcome = source.reload()
        #expect(outcome.snapshot?.services.count == 200)
        #expect(outcome.snapshot?.generation == generation + 1)

        let file = try FileHandle(forWritingTo: directory.url("0.yaml"))
        try file.truncate(atOffset: 0)
        #expect(!source.waitForChange(timeout: 100))
        try file.write(contentsOf: Data(service("last", "127.96.2.1").utf8))
        try file.close()
        #expect(source.waitForChange(timeout: 2000))
        #expect(names(source.reload())?.contains("last") == true)
    }

    @Test("reads no hidden file, no other extension and no subdirectory")
    func ignored() throws {
        let directory = try ConfigDirectory()
        for name in [".hidden.yaml", "notes.txt", "a.yaml.bak", "a.yaml~"] { try directory.write(name, "broken: [") }
        try FileManager.default.createDirectory(at: directory.url("sub.yaml"), withIntermediateDirectories: false)
        try directory.write("sub.yaml/a.yaml", "broken: [")
        try directory.write("empty.yaml", "")
        try directory.write("comment.json", "# nothing\n---\n")
        let outcome = directory.source().reload()
        #expect(outcome.errors == [])
        #expect(outcome.statuses == [])
        #expect(outcome.snapshot?.generation == 1)
    }

    @Test("follows the ..data link of a mounted ConfigMap")
    func configMap() throws {
        let directory = try ConfigDirectory()
        let files = FileManager.default
        for (version, name) in [("..1", "a"), ("..2", "b")] {
            try files.createDirectory(at: directory.url(version), withIntermediateDirectories: false)
            try directory.write("\(version)/mesh.yaml", service(name, "127.96.0.1"))
        }
        try files.createSymbolicLink(atPath: directory.url("..data").path, withDestinationPath: "..1")
        try files.createSymbolicLink(atPath: directory.url("mesh.yaml").path, withDestinationPath: "..data/mesh.yaml")
        let source = directory.source()
        #expect(names(source.reload()) == ["a"])

        try files.createSymbolicLink(atPath: directory.url("..data_tmp").path, withDestinationPath: "..2")
        #expect(unsafe rename(directory.url("..data_tmp").path, directory.url("..data").path) == 0)
        #expect(source.waitForChange(timeout: 2000))
        #expect(names(source.reload()) == ["b"])

        // The new target is watched as well.
        try directory.write("..2/mesh.yaml", service("c", "127.96.0.1"))
        #expect(source.waitForChange(timeout: 2000))
        #expect(names(source.reload()) == ["c"])
    }

    @Test("waits for a directory that does not exist yet, and keeps the last good configuration without it")
    func missingDirectory() throws {
        let parent = try ConfigDirectory()
        let path = "\(parent.path)/etc/mesh.d"
        let source = DirectorySource(path: path, options: MeshOptions(node: "n"))
        let missing = source.reload()
        #expect(missing.snapshot == nil)
        #expect(missing.errors.map(\.description) == ["\(path): the directory does not exist"])

        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try parent.write("etc/mesh.d/a.yaml", service("a", "127.96.0.1"))
        var outcome = missing
        while outcome.snapshot?.services.isEmpty != false, source.waitForChange(timeout: 2000) {
            outcome = source.reload()
        }
        #expect(names(outcome) == ["a"])

        try FileManager.default.moveItem(atPath: path, toPath: "\(parent.path)/etc/gone")
        #expect(source.waitForChange(timeout: 2000))
        let gone = source.reload()
        #expect(gone.snapshot == nil)
        #expect(gone.statuses.map(\.name.name) == ["a"])

        try FileManager.default.moveItem(atPath: "\(parent.path)/etc/gone", toPath: path)
        #expect(source.waitForChange(timeout: 2000))
        #expect(names(source.reload()) == ["a"])
    }

    @Test("recomputes nothing when nothing changed, and moves lines without a new generation")
    func unchanged() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("a.yaml", service("a", "127.96.0.1") + "---\n" + service("b", "127.96.0.2"))
        let first = try #require(source.reload().snapshot)
        #expect(source.reload().snapshot?.generation == first.generation)
        try directory.write(
            "a.yaml", "# one\n# two\n" + service("a", "127.96.0.1") + "---\n" + service("b", "127.96.0.2"))
        let outcome = source.reload()
        #expect(outcome.snapshot == first)
        #expect(outcome.status(.service, "shop", "a")?.source.line == 3)
        #expect(outcome.status(.service, "shop", "b")?.source.line == 8)
    }

    @Test("records per object what became of it in the data plane")
    func programming() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("a.yaml", service("a", "127.96.0.1") + "---\n" + service("b", "127.96.0.2"))
        #expect(source.reload().status(.service, "shop", "a")?[.programmed]?.status == .unknown)
        let b = ObjectKey(.service, ObjectName(namespace: "shop", name: "b"))
        source.recordProgramming(failures: [b: "the map services is full"])
        let outcome = source.reload()
        #expect(outcome.status(.service, "shop", "a")?[.programmed]?.status == .yes)
        #expect(outcome.status(.service, "shop", "b")?[.programmed]?.status == .no)
        #expect(outcome.status(.service, "shop", "b")?[.programmed]?.message == "the map services is full")
        source.recordProgramming(failures: [:])
        #expect(source.statuses.status(of: b)?[.programmed]?.status == .yes)
    }

    @Test("encodes conditions in the specification's shape")
    func json() throws {
        let outcome = try load(service("a", "127.96.0.1"))
        let data = try JSONEncoder().encode(outcome.statuses)
        let decoded = try JSONDecoder().decode([ObjectStatus].self, from: data)
        #expect(decoded == outcome.statuses)
        let objects = try #require(JSONSerialization.jsonObject(with: data) as? [[String: Any]])
        let object = try #require(objects.first)
        #expect(object["apiVersion"] as? String == "v1")
        #expect(object["kind"] as? String == "Service")
        #expect((object["metadata"] as? [String: Any])?["namespace"] as? String == "shop")
        let conditions = (object["status"] as? [String: Any])?["conditions"] as? [[String: Any]]
        let accepted = try #require(conditions?.first)
        #expect(accepted["type"] as? String == "Accepted")
        #expect(accepted["status"] as? String == "True")
        #expect((accepted["lastTransitionTime"] as? String)?.hasSuffix("Z") == true)
    }
}
