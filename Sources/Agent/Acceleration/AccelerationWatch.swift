import Certification
import Mesh

/// Looks at the programs of workloads that opted in, and watches those of which nothing is known, one turn after another.
/// Confined to one thread at a time: a look takes some milliseconds, which the reactor does not have.
final class AccelerationWatch {
    /// Where a workload's processes are.
    struct Place: Sendable, Equatable {
        var name: ObjectName
        var processes: CgroupProcesses
    }

    /// What a turn found out.
    struct Findings: Sendable {
        var programs: [ObjectName: RunningPrograms] = [:]
        var certificates: CertificateStore
        /// What went wrong with the file of certificates, for people.
        var problem: String?
        /// Workloads that are being watched.
        var watching: Set<ObjectName> = []
    }

    /// The programs that run are looked at this often: seconds.
    static let lookInterval: Double = 5
    /// What is certified is watched again this often: seconds.
    static let repeatInterval: Double = 600
    /// Workloads that are watched at the same time: each costs every system call of the node a little.
    static let maxWatches = 8

    private struct State {
        var programs = RunningPrograms()
        var nextLook: Double = 0
        var nextWatch: Double = 0
        /// From the end of a watch to the next that something new asks for: it grows, lest programs that come and go let a
        /// watch follow the other.
        var delay: Double = 5
        var lastEnd = -Double.infinity
        var watch: (certifier: Certifier, end: Double)?
    }

    private let stateDirectory: String
    private let seconds: Double
    private var isFIONREADRight: Bool?
    private var states: [ObjectName: State] = [:]
    private var certificates = CertificateStore()
    private var problem: String?
    private let kernel = Certifier.kernel

    /// - Parameter seconds: how long a workload is watched.
    init(stateDirectory: String, seconds: Double) {
        self.stateDirectory = stateDirectory
        self.seconds = seconds
    }

    /// Whether some workload is being watched: then turns follow each other more often.
    var isWatching: Bool { states.values.contains { $0.watch != nil } }

    /// - Parameters:
    ///   - now: seconds of a clock that never goes back.
    ///   - time: for certificates (RFC 3339, UTC).
    func turn(_ places: [Place], isFIONREADRight: Bool?, now: Double, time: String) -> Findings {
        self.isFIONREADRight = isFIONREADRight
        // `weft certify` writes the file too.
        change { _ in }
        let names = Set(places.map(\.name))
        for name in states.keys where !names.contains(name) { states[name] = nil }
        for place in places { turn(place, now: now, time: time) }
        return Findings(
            programs: states.mapValues(\.programs), certificates: certificates, problem: problem,
            watching: Set(states.filter { $0.value.watch != nil }.keys))
    }

    /// What else has seen of a workload that it must not do.
    func refute(_ name: ObjectName, _ evidence: [Evidence], time: String) {
        let programs = states[name]?.programs ?? RunningPrograms()
        // Which of them it was is not known.
        let suspects = programs.usingTCP.isEmpty ? programs.all : programs.usingTCP
        let certificates = suspects.map {
            Certificate(program: $0, verdict: .no, evidence: evidence, kernel: kernel, seconds: 0, time: time)
        }
        guard !certificates.isEmpty else { return }
        change { $0.record(Assessment(certificates: certificates), of: name) }
    }

    private func turn(_ place: Place, now: Double, time: String) {
        var state = states[place.name] ?? State()
        defer { states[place.name] = state }
        if let watch = state.watch {
            guard now >= watch.end else { return watch.certifier.look() }
            state.watch = nil
            let assessment = watch.certifier.finish(time: time)
            state.programs = RunningPrograms(watch.certifier)
            state.programs.ended = assessment.evidence.filter { $0.weight == .refutes }
            state.nextLook = now + Self.lookInterval
            change { $0.record(assessment, of: place.name) }
            state.lastEnd = now
            state.nextWatch = now + (assessment.verdict == .unknown ? state.delay : Self.repeatInterval)
            state.delay = min(state.delay * 2, Self.repeatInterval / 2)
            return
        }
        guard now >= state.nextLook else { return }
        state.nextLook = now + Self.lookInterval
        let look = Certifier(place.processes, isFIONREADRight: isFIONREADRight, tracing: false)
        let assessment = look.finish(time: time)
        var programs = RunningPrograms(look)
        programs.ended = state.programs.ended
        // What shows without a watch needs none.
        if assessment.certificates.contains(where: { $0.verdict == .no }) {
            let refuted = Assessment(certificates: assessment.certificates.filter { $0.verdict == .no })
            change { $0.record(refuted, of: place.name) }
        }
        if programs.all.subtracting(state.programs.all).contains(where: { !isKnown($0, place.name) }) {
            // Something new runs.
            if now - state.lastEnd > Self.repeatInterval { state.delay = 5 }
            state.nextWatch = min(state.nextWatch, state.lastEnd + state.delay)
        }
        state.programs = programs
        guard !programs.all.isEmpty, now >= state.nextWatch,
            states.values.count(where: { $0.watch != nil }) < Self.maxWatches,
            !programs.all.contains(where: { verdict(of: $0, place.name) == .no })
        else { return }
        state.watch = (Certifier(place.processes, isFIONREADRight: isFIONREADRight), now + seconds)
    }

    private func verdict(of program: Program, _ name: ObjectName) -> Verdict? {
        certificates.certificate(of: program, workload: name, kernel: kernel)?.verdict
    }

    private func isKnown(_ program: Program, _ name: ObjectName) -> Bool {
        let verdict = verdict(of: program, name)
        return verdict == .yes || verdict == .no
    }

    private func change(_ change: (inout CertificateStore) -> Void) {
        do throws(CertificateStoreError) {
            certificates = try CertificateStore.update(stateDirectory, change)
            problem = nil
        } catch {
            // Nothing is taken for certified that cannot be kept, but what must not be stays so.
            problem = error.description
            change(&certificates)
        }
    }
}

extension RunningPrograms {
    init(_ certifier: Certifier) {
        self.init(all: certifier.programs, usingTCP: certifier.programsUsingTCP)
    }
}
