import Certification
import Mesh
import Testing

@testable import Agent

@Suite("Verdicts about workloads that opted in to acceleration")
struct AccelerationVerdictTests {
    private let web = ObjectName(namespace: "shop", name: "web")
    private let kernel = "Linux 6.18"

    private func program(_ name: Character) -> Program {
        Program(path: "/usr/bin/\(name)", digest: "sha256:" + String(repeating: name, count: 64), files: [])
    }

    private func certificates(_ verdicts: (Character, Verdict)...) -> CertificateStore {
        var store = CertificateStore()
        let list = verdicts.map { name, verdict in
            Certificate(
                program: program(name), verdict: verdict,
                evidence: [
                    Evidence(
                        kind: verdict == .yes ? .transfers : .blocking, weight: verdict == .yes ? .supports : .refutes,
                        what: "seen", place: "there", why: "it matters")
                ], kernel: kernel, seconds: 1, time: "2025-01-01T00:00:00Z")
        }
        store.record(Assessment(certificates: list), of: web)
        return store
    }

    private func verdict(
        running: [Character] = ["a"], usingTCP: [Character] = ["a"], _ store: CertificateStore, kernel: String? = nil,
        laneProblem: String? = nil, ended: [Evidence] = []
    ) -> AccelerationVerdicts.Verdict? {
        AccelerationVerdicts(
            [web],
            programs: [
                web: RunningPrograms(
                    all: Set(running.map(program)), usingTCP: Set(usingTCP.map(program)), ended: ended)
            ], certificates: store, kernel: kernel ?? self.kernel, laneProblem: laneProblem
        ).verdicts[web]
    }

    @Test("a certificate of every program that has connections accelerates")
    func certified() {
        #expect(verdict(certificates(("a", .yes)))?.reason == .certified)
        #expect(verdict(certificates(("a", .yes)))?.message == "/usr/bin/a: seen")
        #expect(verdict(running: ["a", "b"], certificates(("a", .yes)))?.reason == .certified)
        // It has no connection at the moment, and its program is known.
        #expect(verdict(usingTCP: [], certificates(("a", .yes)))?.reason == .certified)
    }

    @Test("what is not known does not")
    func notCertified() {
        #expect(verdict(certificates())?.reason == .notCertified)
        #expect(verdict(certificates(("a", .unknown)))?.reason == .notCertified)
        #expect(verdict(certificates(("a", .yes)), kernel: "Linux 6.19")?.reason == .notCertified)
        #expect(
            verdict(running: ["a", "b"], usingTCP: ["a", "b"], certificates(("a", .yes)))?.reason == .notCertified)
        #expect(verdict(running: [], usingTCP: [], certificates(("a", .yes)))?.reason == .notCertified)
        let other = ObjectName(namespace: "shop", name: "other")
        let verdicts = AccelerationVerdicts(
            [other], programs: [web: RunningPrograms(all: [program("a")], usingTCP: [program("a")])],
            certificates: certificates(("a", .yes)), kernel: kernel, laneProblem: nil)
        #expect(verdicts.verdicts[other]?.reason == .notCertified)
        #expect(verdicts.accelerated.isEmpty)
    }

    @Test("one program that misbehaves takes its workload off, also when it is idle")
    func refuted() {
        let store = certificates(("a", .yes), ("b", .no))
        #expect(verdict(store)?.reason == .certified)
        #expect(verdict(running: ["a", "b"], store)?.reason == .refuted)
        #expect(verdict(running: ["a", "b"], store)?.message == "/usr/bin/b: seen (there): it matters")
        let ended = [Evidence(kind: .waitAll, weight: .refutes, what: "recv", why: "short")]
        #expect(verdict(store, ended: ended)?.reason == .refuted)
    }

    @Test("a kernel that does not do it right accelerates nothing")
    func lane() {
        let verdict = verdict(certificates(("a", .yes)), laneProblem: "order: failed")
        #expect(verdict?.reason == .laneUnavailable)
        #expect(verdict?.message == "order: failed")
    }

    @Test("say since when their reason is this one")
    func since() {
        let first = AccelerationVerdicts([web: .init(.notCertified, message: "a")]).following(.init(), time: "1")
        #expect(first.verdicts[web]?.since == "1")
        let same = AccelerationVerdicts([web: .init(.notCertified, message: "b")]).following(first, time: "2")
        #expect(same.verdicts[web]?.since == "1")
        let other = AccelerationVerdicts([web: .init(.certified, message: "b")]).following(same, time: "3")
        #expect(other.verdicts[web]?.since == "3")
        #expect(other.accelerated == [web])
    }
}
