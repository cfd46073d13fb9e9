import BPF
import BPFImages
import Glibc
import WeftABI

/// Loads the compiled programs over the pinned maps, and attaches them; links that are pinned already get the new program
/// in place, so there is no moment without one.
enum Loader {
    /// The programs that every connection meets, in the order of attaching: what undoes a translation is there before
    /// what makes one.
    static let connectionPrograms: [(object: ObjectImage, program: String)] = [
        (.connect, "sock_release"),
        (.connect, "getpeername4"), (.connect, "getpeername6"),
        (.connect, "recvmsg4"), (.connect, "recvmsg6"),
        (.lifecycle, "lifecycle"),
        (.connect, "sendmsg4"), (.connect, "sendmsg6"),
        (.connect, "connect4"), (.connect, "connect6"),
    ]

    /// The programs that read HTTP/1.
    static let readingPrograms = ["http_in", "http_out"]

    /// Maps that belong to one version of the programs: not pinned.
    private static let ownMaps: Set<String> = ["http_scans"]

    struct Parts: ~Copyable {
        var aged: Link
        var settle: Link
        var enlist: Link
        var acceptQueues: Link
        var sweep: Link
        var datagramSweep: Link
        var datagramIn: Program
        var datagramOut: Program
        var redirect: Redirect
    }

    /// What the accelerated lane is made of, or why it is not.
    enum Redirect {
        case loaded(Hold)
        /// A sentence.
        case unavailable(String)
    }

    /// Attached once somebody may be accelerated.
    final class Hold {
        let program: Program
        init(_ program: consuming Program) { self.program = program }
    }

    final class AgentLinks {
        private let lifecycle: Link
        private let options: Link

        init(lifecycle: consuming Link, options: consuming Link) {
            self.lifecycle = lifecycle
            self.options = options
        }
    }

    /// Carries `Parts` out of a do statement.
    final class Loaded {
        private var parts: Parts?
        init(_ parts: consuming Parts) { self.parts = consume parts }
        func take() -> Parts {
            guard let parts = parts.take() else { preconditionFailure("taken once, by the initialiser") }
            return parts
        }
    }

    static func load(
        pins: PinDirectory, options: KernelPlane.Options, cgroup: borrowing FileDescriptor
    ) throws(BPFError) -> Loaded {
        let connect = try open(.connect, pins, options).load()
        var lifecycleObject = try open(.lifecycle, pins, options)
        try lifecycleObject.setReadOnlyData("jiffy_ns", to: KernelPlane.jiffyNanoseconds)
        let lifecycle = try lifecycleObject.load()
        let inbound = try open(.inbound, pins, options).load()
        var sweepObject = try open(.sweep, pins, options)
        try sweepObject.setReadOnlyData("strict_rule", to: Identifier.strictRule)
        try sweepObject.setReadOnlyData("jiffy_ns", to: KernelPlane.jiffyNanoseconds)
        let sweep = try sweepObject.load()

        let settings = try sweep.descriptor(ofMap: "settings")
        let sockets = try sweep.descriptor(ofMap: "sockets")
        let datagramSockets = try sweep.descriptor(ofMap: "udp_sockets")
        let agedLink = try sweep.program("aged").attachIterator(overMap: settings.rawValue)
        let settleLink = try sweep.program("settle").attachIterator()
        let enlistLink = try sweep.program("enlist").attachIterator()
        let listening = try sweep.descriptor(ofMap: "listening")
        let acceptQueuesLink = try sweep.program("accept_queues").attachIterator(overMap: listening.rawValue)
        let sweepLink = try sweep.program("sweep").attachIterator(overMap: sockets.rawValue)
        let datagramSweepLink = try sweep.program("sweep_udp").attachIterator(overMap: datagramSockets.rawValue)

        // It is pinned for who removes the maps when no agent runs.
        let members = try sweep.descriptor(ofMap: "members")
        let unread = try sweep.program("unread").attachIterator(overMap: members.rawValue)
        if FileSystem.exists(pins.link("unread")) { try Link.unpin(pins.link("unread")) }
        try unread.pin(at: pins.link("unread"))

        let cgroupID = FileSystem.cgroupID(options.cgroup)
        for (image, name) in connectionPrograms {
            let program = image.name == "connect" ? try connect.program(name) : try lifecycle.program(name)
            try attach(program, pins: pins, cgroup: cgroup, cgroupID: cgroupID, path: options.cgroup)
        }
        try attachReadingPrograms(pins: pins, options: options, cgroup: cgroup, cgroupID: cgroupID)
        let redirect = redirect(pins: pins, options: options, members: members.rawValue, cgroupID: cgroupID)
        let datagramIn = try inbound.program("datagram_in")
        let datagramOut = try inbound.program("datagram_out")
        try adopt(datagramIn, pins: pins, cgroupID: cgroupID)
        try adopt(datagramOut, pins: pins, cgroupID: cgroupID)
        return Loaded(
            Parts(
                aged: agedLink, settle: settleLink, enlist: enlistLink, acceptQueues: acceptQueuesLink,
                sweep: sweepLink, datagramSweep: datagramSweepLink, datagramIn: datagramIn, datagramOut: datagramOut,
                redirect: redirect))
    }

    /// The accelerated lane is worth having, and nothing else needs it: without it everything goes by TCP. What an earlier
    /// agent has attached goes on until it is replaced.
    private static func redirect(
        pins: PinDirectory, options: KernelPlane.Options, members: CInt, cgroupID: UInt64
    ) -> Redirect {
        guard options.redirects else { return .unavailable("this kernel has no sk_msg programs") }
        do throws(BPFError) {
            let redirect = try open(.redirect, pins, options).load()
            try redirect.program("redirect").attach(toSocketMap: members)
            let hold = try redirect.program("hold")
            try adopt(hold, pins: pins, cgroupID: cgroupID)
            return .loaded(Hold(hold))
        } catch {
            // The verifier's log follows.
            let summary = error.description.prefix { $0 != "\n" }
            return .unavailable("this kernel does not take its programs: \(summary)")
        }
    }

    /// Puts the new version of a program that is only attached when it is needed into its link, if an earlier agent has
    /// attached it.
    private static func adopt(
        _ program: borrowing Program, pins: PinDirectory, cgroupID: UInt64
    ) throws(BPFError) {
        guard FileSystem.exists(pins.link(program.name)) else { return }
        let link = try Link.openPinned(pins.link(program.name))
        if try link.information.cgroupID == cgroupID {
            try link.replaceProgram(with: program)
        } else {
            // Of a cgroup that is gone: the agent attaches the program anew when it is needed.
            try Link.unpin(pins.link(program.name))
        }
    }

    /// Behind those that track connections, and that free what reading has made.
    private static func attachReadingPrograms(
        pins: PinDirectory, options: KernelPlane.Options, cgroup: borrowing FileDescriptor, cgroupID: UInt64
    ) throws(BPFError) {
        guard options.readsHTTP else {
            for name in readingPrograms where FileSystem.exists(pins.link(name)) { try Link.unpin(pins.link(name)) }
            return
        }
        let http = try open(.http, pins, options).load()
        for name in readingPrograms {
            try attach(http.program(name), pins: pins, cgroup: cgroup, cgroupID: cgroupID, path: options.cgroup)
        }
    }

    /// The programs of the agent's own sockets, attached to its cgroup for as long as the links are held: they mean
    /// nothing without an agent.
    static func attachAgentPrograms(
        pins: PinDirectory, options: KernelPlane.Options, cgroup path: String
    ) throws(BPFError) -> AgentLinks {
        let object = try open(.agent, pins, options).load()
        let cgroup = try FileDescriptor(directory: path)
        let lifecycle = try object.program("agent_lifecycle").attach(toCgroup: cgroup)
        let options = try object.program("agent_getsockopt").attach(toCgroup: cgroup)
        return AgentLinks(lifecycle: lifecycle, options: options)
    }

    static func open(
        _ image: ObjectImage, _ pins: PinDirectory, _ options: KernelPlane.Options
    ) throws(BPFError) -> OpenObject {
        var object = try OpenObject(name: image.name, image: image.bytes)
        for name in object.mapNames where !name.contains(".") && !ownMaps.contains(name) {
            try object.setPinPath(pins.map(name), ofMap: name)
            if let limit = options.mapLimits[name] { try object.setMaxEntries(limit, ofMap: name) }
        }
        return object
    }

    private static func attach(
        _ program: borrowing Program, pins: PinDirectory, cgroup: borrowing FileDescriptor, cgroupID: UInt64,
        path: String
    ) throws(BPFError) {
        let pin = pins.link(program.name)
        if FileSystem.exists(pin) {
            let link = try Link.openPinned(pin)
            let attached = try link.information.cgroupID ?? 0
            if attached == cgroupID {
                try link.replaceProgram(with: program)
                return
            }
            guard attached == 0 else {
                throw BPFError(
                    operation: "take over the link", subject: pin, errno: EBUSY,
                    detail: "it is attached to another cgroup (id \(attached)) than \(path) (id \(cgroupID)): give the"
                        + " agent that cgroup, or another --pin-dir, or run `weft uninstall` first")
            }
            // Its cgroup has been removed: the link is dead.
            try Link.unpin(pin)
        }
        let link = try program.attach(toCgroup: cgroup)
        try link.pin(at: pin)
    }
}
