import BPF
import BPFImages
import CLinux
import Glibc
import WeftABI

/// Programs and maps of redirected sockets that belong to the probes alone: nothing is pinned and nothing is attached to
/// a cgroup, so that no other socket of the machine meets them. They are gone with the last of their connections.
final class ProbeLane {
    enum Program {
        /// One that is to be guarded: the lane's own (bpf/redirect.bpf.c), as compiled.
        case guarded(image: [UInt8])
        /// Redirects whatever it is told to (bpf/probe.bpf.c).
        case unguarded
    }

    /// Where the sends of an end go.
    enum Path {
        /// Where the guard lets them: past TCP.
        case redirect
        case tcp
        /// One send so, the next one otherwise; the guard has its own mind.
        case alternate

        var abi: weft_trial_path {
            switch self {
            case .redirect: WEFT_TRIAL_REDIRECT
            case .tcp: WEFT_TRIAL_TCP
            case .alternate: WEFT_TRIAL_ALTERNATE
            }
        }
    }

    private let members: Map<UInt32, UInt64>
    private let ends: Map<CInt, weft_member>
    private let trials: Map<UInt32, weft_trial>
    private let guardian: ProbeGuard?
    /// The guard has to know whether a reader waits for levels or for edges, which applications tell epoll.
    private let watcher: EventQueue
    private var nextPair: UInt32 = 0

    var isGuarded: Bool { guardian != nil }

    init(_ program: Program) throws(BPFError) {
        do throws(ProbeProblem) { watcher = try EventQueue() } catch {
            throw BPFError(operation: "watch", subject: "sockets", errno: EMFILE, detail: error.description)
        }
        var probe = try OpenObject(name: ObjectImage.probe.name, image: ObjectImage.probe.bytes)
        switch program {
        case .unguarded:
            try probe.setAutoload(false, ofProgram: "seat")
            guardian = nil
        case .guarded(let image):
            try probe.setAutoload(false, ofProgram: "redirect")
            guardian = try ProbeGuard(image, sharing: &probe)
        }
        let object = try probe.load()
        members = try object.map("members", UInt32.self, UInt64.self)
        ends = try object.map("ends", CInt.self, weft_member.self)
        trials = try object.map("trials", UInt32.self, weft_trial.self)
        if let guardian {
            try guardian.attach(object, members: members.fd, ends: ends.fd)
        } else {
            try object.program("redirect").attach(toSocketMap: members.fd)
        }
    }

    /// A connection of which those ends are members.
    func connect(_ sides: [ProbeConnection.Side] = [.client, .server]) throws(ProbeProblem) -> ProbeConnection {
        let connection = try ProbeConnection(pair: nextPair)
        nextPair += 1
        for side in sides { try watcher.add(connection[side], EPOLLIN.rawValue) }
        do throws(BPFError) {
            // What an earlier probe wanted is over.
            try guardian?.resume()
            let client = weft_socket_cookie(connection.client.descriptor)
            try guardian?.open(connection.pair, client: client)
            for side in sides {
                let descriptor = connection[side].descriptor
                try ends.set(descriptor, weft_member(client: client, pair: connection.pair, end: side.rawValue))
                try members.set(place(side, of: connection), UInt64(descriptor))
            }
            try guardian?.seat()
        } catch {
            throw ProbeProblem("\(error)")
        }
        return connection
    }

    /// From the next send on. The guard takes it for both ends, and for all connections.
    func set(_ path: Path, _ side: ProbeConnection.Side, of connection: ProbeConnection) throws(ProbeProblem) {
        do throws(BPFError) {
            try trials.set(place(side, of: connection), weft_trial(path: path.abi.rawValue, sends: 0))
            if case .tcp = path { try guardian?.pause() } else { try guardian?.resume() }
        } catch {
            throw ProbeProblem("\(error)")
        }
    }

    /// How much of one direction may wait for its reader, until `resetCap`. Without a guard there is no limit.
    func setCap(_ bytes: Int) throws(ProbeProblem) {
        do throws(BPFError) { try guardian?.setCap(UInt32(bytes)) } catch { throw ProbeProblem("\(error)") }
    }

    /// As in the lane itself.
    func resetCap() { try? setCap(ProbeGuard.usualCap) }

    /// What is seen of bytes that TCP carried says nothing.
    func expectRedirect(_ redirected: Int) throws(ProbeProblem) {
        guard redirected > 0 else { throw ProbeProblem("none of its bytes was redirected") }
    }

    private func place(_ side: ProbeConnection.Side, of connection: ProbeConnection) -> UInt32 {
        connection.pair * WEFT_ENDS.rawValue + side.rawValue
    }
}
