import Testing

@testable import Certification

@Suite("Judgement")
struct JudgementTests {
    private static let all = WatchMeans(seesCalls: true, seesUring: true)
    private static let samples = WatchMeans(seesCalls: false, seesUring: false)

    private func socket(_ descriptor: Int32 = 7, isBlocking: Bool = false) -> SocketObservation {
        SocketObservation(
            descriptor: descriptor, local: "10.0.0.1:80", peer: "10.0.0.2:40000", isBlocking: isBlocking)
    }

    private func process(_ change: (inout ProcessObservation) -> Void = { _ in }) -> ProcessObservation {
        var process = ProcessObservation(process: 42, name: "web")
        process.sockets = [socket()]
        (process.receives, process.sends) = (10, 9)
        change(&process)
        return process
    }

    @Test("transfers on non-blocking sockets are a yes")
    func yes() {
        let judgement = Judgement([process()], means: Self.all)
        #expect(judgement.verdict == .yes)
        #expect(judgement.evidence.first?.what == "10 receives and 9 sends on non-blocking sockets")
    }

    @Test("sockets that nobody used are unknown where system calls are seen, and all there is where they are not")
    func unused() {
        let idle = process { ($0.receives, $0.sends) = (0, 0) }
        #expect(Judgement([idle], means: Self.all).verdict == .unknown)
        #expect(Judgement([idle], means: Self.samples).verdict == .yes)
        #expect(Judgement([], means: Self.all).verdict == .unknown)
    }

    @Test(
        "one odd deed refutes a thousand others",
        arguments: [
            EvidenceKind.blocking, .splice, .waitAll, .lowWater, .inq, .ulp, .zeroCopyReceive, .zeroCopySend, .truncate,
            .urgent,
        ])
    func refuted(_ kind: EvidenceKind) throws {
        let odd = process { $0.conduct[kind] = .init(count: 3, socket: socket(), call: "recvfrom() oddly") }
        let judgement = Judgement([process(), odd], means: Self.all)
        #expect(judgement.verdict == .no)
        let first = try #require(judgement.evidence.first)
        #expect(first.kind == kind)
        #expect(first.what == "recvfrom() oddly")
        #expect(first.place == "web[42] descriptor 7, 10.0.0.1:80 – 10.0.0.2:40000")
        #expect(first.why == kind.reason)
        #expect(first.count == 3)
    }

    @Test("a socket shows by itself that it blocks, or has options, without being used")
    func sockets() {
        let changes: [(EvidenceKind, (inout SocketObservation) -> Void)] = [
            (.blocking, { $0.isBlocking = true }), (.lowWater, { $0.lowWater = 2 }), (.inq, { $0.hasINQ = true }),
            (.ulp, { $0.hasULP = true }),
        ]
        for (kind, change) in changes {
            var odd = socket(8)
            change(&odd)
            let judgement = Judgement([process { $0.sockets.insert(odd) }], means: Self.all)
            #expect(judgement.verdict == .no)
            #expect(judgement.evidence.filter { $0.weight == .refutes }.map(\.kind) == [kind])
            #expect(judgement.evidence.first?.place.contains("descriptor 8") == true)
        }
    }

    private static let answers: [(Bool?, Verdict)] = [(true, .yes), (false, .no), (nil, .unknown)]

    @Test("FIONREAD is what the kernel makes of it", arguments: answers)
    func fionread(_ isRight: Bool?, _ verdict: Verdict) {
        let means = WatchMeans(seesCalls: true, seesUring: true, isFIONREADRight: isRight)
        let asking = process { $0.conduct[.fionread] = .init(socket: socket(), call: "ioctl() with FIONREAD") }
        #expect(Judgement([asking], means: means).verdict == verdict)
    }

    @Test("what could not be seen leaves it open")
    func unclear() {
        let ring = process { $0.uringDescriptors = 1 }
        #expect(Judgement([ring], means: Self.all).verdict == .yes)
        #expect(Judgement([ring], means: Self.samples).verdict == .unknown)
        let foreign = process { $0.traits = .otherArchitecture }
        #expect(Judgement([foreign], means: Self.all).verdict == .unknown)
        #expect(
            Judgement([process { $0.problem = "its descriptors cannot be read" }], means: Self.all).verdict == .unknown)
        for traits in [ExecutableTraits.go, .importsSplice] {
            let able = process { $0.traits = traits }
            #expect(Judgement([able], means: Self.all).verdict == .yes)
            #expect(Judgement([able], means: Self.samples).verdict == .unknown)
        }
    }

    @Test("of a program with FIONREAD in its code is this kernel's")
    func inCode() {
        func verdict(_ isRight: Bool?) -> Verdict {
            let means = WatchMeans(seesCalls: true, seesUring: true, isFIONREADRight: isRight)
            return Judgement([process { $0.traits = .asksFIONREAD }], means: means).verdict
        }
        #expect(verdict(true) == .yes && verdict(false) == .no && verdict(nil) == .unknown)
    }

    @Test("of a workload is a yes of all its programs that have connections")
    func assessment() {
        func certificate(_ verdict: Verdict, _ path: String) -> Certificate {
            Certificate(
                program: Program(path: path, digest: "sha256:" + String(repeating: "0", count: 64), files: []),
                verdict: verdict, evidence: [], kernel: "Linux", seconds: 1, time: "2025-01-01T00:00:00Z")
        }
        #expect(Assessment(certificates: []).verdict == .unknown)
        #expect(Assessment(certificates: [certificate(.yes, "a")]).verdict == .yes)
        #expect(Assessment(certificates: [certificate(.yes, "a"), certificate(.unknown, "b")]).verdict == .unknown)
        #expect(Assessment(certificates: [certificate(.unknown, "a"), certificate(.no, "b")]).verdict == .no)
        let ended = [Evidence(kind: .blocking, weight: .refutes, what: "x")]
        #expect(Assessment(certificates: [certificate(.yes, "a")], evidence: ended).verdict == .no)
    }
}
