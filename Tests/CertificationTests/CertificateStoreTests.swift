import Foundation
import Mesh
import Testing

@testable import Certification

@Suite("The file of certificates")
struct CertificateStoreTests {
    private let web = ObjectName(namespace: "shop", name: "web")

    private func certificate(
        _ verdict: Verdict, program: Character = "a", kernel: String = "Linux 6.18",
        time: String = "2025-01-01T00:00:00Z"
    ) -> Certificate {
        Certificate(
            program: Program(
                path: "/usr/sbin/web", digest: "sha256:" + String(repeating: program, count: 64),
                files: [.init(path: "/usr/sbin/web", sha256: String(repeating: program, count: 64))]),
            verdict: verdict, evidence: [Evidence(kind: .transfers, weight: .supports, what: "x", count: 3)],
            kernel: kernel, seconds: 2.5, time: time)
    }

    private func verdict(_ store: CertificateStore, program: Character = "a", kernel: String = "Linux 6.18") -> Verdict?
    {
        store.certificate(of: certificate(.yes, program: program).program, workload: web, kernel: kernel)?.verdict
    }

    private func inDirectory(_ body: (String) throws -> Void) throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("weft-state-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        try body(url.path)
    }

    @Test("keeps what was found out")
    func keeps() throws {
        try inDirectory { directory in
            #expect(try CertificateStore.read(directory) == CertificateStore())
            let written = try CertificateStore.update(directory) {
                $0.record(Assessment(certificates: [certificate(.yes), certificate(.no, program: "b")]), of: web)
            }
            let read = try CertificateStore.read(directory)
            #expect(read == written)
            #expect(verdict(read) == .yes)
            #expect(verdict(read, program: "b") == .no)
            #expect(verdict(read, program: "c") == nil)
            #expect(verdict(read, kernel: "Linux 6.19") == nil)
            var information = stat()
            #expect(unsafe stat(CertificateStore.path(directory), &information) == 0)
            #expect(information.st_mode & 0o777 == 0o600)
            try CertificateStore.update(directory) { $0.forget(web) }
            #expect(try CertificateStore.read(directory) == CertificateStore())
        }
    }

    @Test("does not forget a no, nor a yes for what was not found out")
    func remembers() {
        var store = CertificateStore()
        func record(_ verdict: Verdict) { store.record(Assessment(certificates: [certificate(verdict)]), of: web) }
        record(.unknown)
        #expect(verdict(store) == .unknown)
        record(.yes)
        #expect(verdict(store) == .yes)
        record(.unknown)
        #expect(verdict(store) == .yes)
        record(.no)
        #expect(verdict(store) == .no)
        record(.yes)
        #expect(verdict(store) == .no)
        // Another kernel may do right what that one did not.
        store.record(Assessment(certificates: [certificate(.yes, kernel: "Linux 6.19")]), of: web)
        #expect(verdict(store, kernel: "Linux 6.19") == .yes)
        #expect(verdict(store) == nil)
    }

    @Test("is bounded")
    func bounded() {
        var store = CertificateStore()
        for number in 0..<100 {
            var new = certificate(.yes)
            new.program.digest = "sha256:" + String(repeating: "0", count: 64 - "\(number)".count) + "\(number)"
            store.record(Assessment(certificates: [new]), of: web)
        }
        #expect(store.certificates[web]?.count == CertificateStore.maxPrograms)
        #expect(store.certificates[web]?.last?.program.digest.hasSuffix("99") == true)
    }

    @Test("that was broken is refused, and left as it is")
    func strict() throws {
        let broken: [(String, String)] = [
            ("", "it is not a file of certificates"), ("{", "it is not a file of certificates"),
            ("[]", "it is not a file of certificates"), ("{\"version\":1}", "it is not a file of certificates"),
            ("{\"version\":2,\"workloads\":{}}", "its version is 2, and not 1"),
            ("{\"version\":1,\"workloads\":{\"web\":[]}}", "\"web\" is not the name of a workload"),
            (
                """
                {"version":1,"workloads":{"shop/web":[{"program":{"path":"/x","digest":"sha256:zz","files":[]},
                "verdict":"yes","evidence":[],"kernel":"","seconds":1,"time":""}]}}
                """, "\"sha256:zz\" is not a program's digest"
            ),
            (
                """
                {"version":1,"workloads":{"shop/web":[{"program":{"path":"/x","digest":"","files":[]},
                "verdict":"maybe","evidence":[],"kernel":"","seconds":1,"time":""}]}}
                """, "it is not a file of certificates: workloads.shop/web.Index 0.verdict"
            ),
        ]
        for (text, problem) in broken {
            try inDirectory { directory in
                try FileManager.default.createDirectory(
                    atPath: "\(directory)/acceleration", withIntermediateDirectories: true)
                let path = CertificateStore.path(directory)
                try text.write(toFile: path, atomically: false, encoding: .utf8)
                let error = #expect(throws: CertificateStoreError.self) { try CertificateStore.read(directory) }
                #expect(error?.description.hasPrefix("\(path): \(problem)") == true, "\(error?.description ?? "")")
                #expect(throws: CertificateStoreError.self) {
                    try CertificateStore.update(directory) {
                        $0.record(Assessment(certificates: [certificate(.yes)]), of: web)
                    }
                }
                #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
            }
        }
    }
}
