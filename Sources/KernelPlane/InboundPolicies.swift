import BPF
import BPFImages
import WeftABI

/// The programs that meet connections at their destination: one for each network namespace with a workload that has rules
/// for them, because such a program cannot ask in which it runs. Links are pinned by the namespace's cookie, which no
/// other namespace ever has.
struct InboundPolicies {
    private static let prefix = "inbound_policy_"

    private let pins: PinDirectory
    private let options: KernelPlane.Options
    /// By cookie: where there is a program of this agent's version.
    private var attached: Set<UInt64> = []

    init(pins: PinDirectory, options: KernelPlane.Options) {
        self.pins = pins
        self.options = options
    }

    /// Whether there is a program of this agent's version in the namespace with that cookie.
    func isAttached(in namespace: UInt64) -> Bool { attached.contains(namespace) }

    /// Attaches a program in each of these namespaces and takes it off everywhere else. One that an earlier agent has left
    /// is replaced in place.
    ///
    /// - Parameters:
    ///   - namespaces: by cookie, the cgroup of a workload whose processes are in it.
    ///   - own: the cookie of the agent's own.
    /// - Throws: what went wrong in one namespace, after all have been tried.
    mutating func attach(in namespaces: [UInt64: String], own: UInt64) throws(BPFError) {
        for name in FileSystem.entries(of: "\(pins.path)/links") where name.hasPrefix(Self.prefix) {
            guard let cookie = UInt64(name.dropFirst(Self.prefix.count)), namespaces[cookie] != nil else {
                try Link.unpin(pins.link(name))
                continue
            }
        }
        attached.formIntersection(namespaces.keys)
        var failure: BPFError?
        for (cookie, cgroup) in namespaces where !attached.contains(cookie) {
            do throws(BPFError) {
                let file = cookie == own ? NetworkNamespace.own : NetworkNamespace.file(ofCgroup: cgroup)
                if try attach(cookie, file: file) { attached.insert(cookie) }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// - Parameter file: leads to the namespace; nil if no process is in it any more.
    /// - Returns: whether a program is there now.
    private func attach(_ cookie: UInt64, file: String?) throws(BPFError) -> Bool {
        var object = try Loader.open(.inbound, pins, options)
        for program in ["datagram_in", "datagram_out"] { try object.setAutoload(false, ofProgram: program) }
        try object.setReadOnlyData("attached_netns_cookie", to: cookie)
        try object.setReadOnlyData("strict_rule", to: Identifier.strictRule)
        let program = try object.load().program("inbound_policy")
        let pin = pins.link("\(Self.prefix)\(cookie)")
        if FileSystem.exists(pin) {
            let link = try Link.openPinned(pin)
            if try link.information.networkNamespace ?? 0 != 0 {
                try link.replaceProgram(with: program)
                return true
            }
            try Link.unpin(pin)
        }
        guard let file else { return false }
        let namespace = FileSystem.openFile(file)
        guard namespace.rawValue >= 0 else { return false }
        // The process may have left it since the cookie was read: that is seen at the next look.
        guard NetworkNamespace.inside(file: namespace, { NetworkNamespace.currentCookie }) == cookie else {
            return false
        }
        try program.attach(toNetworkNamespace: namespace).pin(at: pin)
        return true
    }
}
