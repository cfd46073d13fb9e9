import Foundation
import Mesh
import Testing

@testable import ConfigSources

@Suite("Hostile input")
struct HostileInputTests {
    private func parse(_ bytes: [UInt8]) -> ParsedFile {
        unsafe bytes.withUnsafeBytes { unsafe FileParser().parse($0, previous: nil) }
    }

    @Test("of changed, cut and doubled bytes gives objects or errors, never a crash", arguments: 0..<8)
    func mutations(_ seed: Int) {
        let original = [UInt8](
            (KubectlOutputTests.list + "\n---\n" + WorkloadTests.shop + "\n" + HTTPMesh.everything
                + SecurityManifests.everything).utf8)
        let syntax = [UInt8]("&*!|>{}[]:,-#'\"%@`?\n\t ".utf8)
        var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
        func random(_ limit: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(limit))
        }
        for _ in 0..<150 {
            var bytes = original
            for _ in 0...random(4) {
                let place = random(bytes.count)
                switch random(4) {
                case 0: bytes[place] = UInt8(random(256))
                case 1: bytes[place] = syntax[random(syntax.count)]
                case 2: bytes.removeSubrange(place..<min(bytes.count, place + random(64)))
                default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + random(64))], at: place)
                }
            }
            let file = parse(bytes)
            #expect(file.isValid || !file.errors(file: "mesh.yaml").isEmpty)
            #expect(file.errors(file: "mesh.yaml").allSatisfy { $0.line > 0 && $0.document > 0 })
        }
    }

    @Test("begins from objects that are right")
    func original() throws {
        let text = HTTPMesh.services + HTTPMesh.everything + SecurityManifests.everything
        #expect(try load(text).errors.map(\.description) == [])
    }

    @Test("divided into documents has the lines and numbers that it has as a whole")
    func division() {
        let text = "# head\n---\na: 1\n--- # two\nb: |\n  ---x\n  --- y\n---\r\n...\n"
        for (text, documents) in [(text.replacing("...\n", with: ""), 3), (text, 3)] {
            let file = parse([UInt8](text.utf8))
            let errors = file.errors(file: "f")
            #expect(errors.filter { $0.path == "kind" }.map(\.line) == [3, 5])
            #expect(errors.filter { $0.path == "kind" }.map(\.document) == [1, 2])
            #expect(file.parts.map(\.document.count).reduce(0, +) == documents)
        }
    }

    @Test("is refused after the first hundred errors of a file")
    func manyErrors() {
        let text =
            "kind: List\napiVersion: v1\nitems:\n"
            + String(repeating: "- {kind: Nothing, apiVersion: v1}\n", count: 5000)
        #expect(parse([UInt8](text.utf8)).errors(file: "f").count == 100)
    }

    @Test("of too many documents is refused")
    func manyDocuments() {
        let file = parse([UInt8](String(repeating: "---\n", count: 250_001).utf8))
        #expect(file.errors(file: "f").map(\.message) == ["has more than 250000 documents"])
    }

    @Test("of one object with too many values is refused before they fill the memory")
    func manyValues() {
        let file = parse([UInt8](("a:\n" + String(repeating: "- 1\n", count: 1_100_000)).utf8))
        #expect(file.errors(file: "f").map(\.message) == ["more than 1000000 values in one object"])
    }
}
