import BPF
import WeftABI

/// The lane's own program with maps of its own.
final class ProbeGuard {
    static let usualCap = 256 * 1024

    /// Connections that the probes make at most.
    private static let places = 128

    private let program: BPF.Program
    private let pairs: Map<UInt32, weft_pair>
    private let settings: Map<UInt32, weft_settings>
    private var node = weft_settings()
    /// Sets the addresses by which the program knows the sockets, which only the kernel has.
    private var seats: Link?

    /// - Parameter probe: is made to use this one's maps.
    init(_ image: [UInt8], sharing probe: inout OpenObject) throws(BPFError) {
        var object = try OpenObject(name: "redirect", image: image)
        for name in object.programNames where name != "redirect" { try object.setAutoload(false, ofProgram: name) }
        try object.setMaxEntries(Self.places, ofMap: "pairs")
        try object.setMaxEntries(Self.places * Int(WEFT_ENDS.rawValue), ofMap: "members")
        let loaded = try object.load()
        for name in ["pairs", "members", "ends"] { try probe.reuse(loaded.descriptor(ofMap: name), asMap: name) }
        program = try loaded.program("redirect")
        pairs = try loaded.map("pairs", UInt32.self, weft_pair.self)
        settings = try loaded.map("settings", UInt32.self, weft_settings.self)
        node.acceleration = 1
        node.redirect_cap = UInt32(Self.usualCap)
        try settings.set(0, node)
    }

    func attach(_ probe: borrowing LoadedObject, members: CInt, ends: CInt) throws(BPFError) {
        try program.attach(toSocketMap: members)
        seats = try probe.program("seat").attachIterator(overMap: ends)
    }

    /// Before its ends are members.
    func open(_ pair: UInt32, client: UInt64) throws(BPFError) {
        guard client != 0 else { throw BPFError(operation: "ask for the cookie of", subject: "a socket", errno: 0) }
        var entry = weft_pair()
        entry.client = client
        entry.lane = UInt8(WEFT_LANE_ACCELERATED.rawValue)
        // Nobody reads requests here.
        entry.unread = 1
        try pairs.set(pair, entry)
    }

    /// After they have become members.
    func seat() throws(BPFError) { try seats?.readIterator { _ in } }

    func pause() throws(BPFError) { try set { $0.acceleration = 0 } }
    func resume() throws(BPFError) { try set { $0.acceleration = 1 } }
    func setCap(_ bytes: UInt32) throws(BPFError) { try set { $0.redirect_cap = bytes } }

    private func set(_ change: (inout weft_settings) -> Void) throws(BPFError) {
        change(&node)
        try settings.set(0, node)
    }
}
