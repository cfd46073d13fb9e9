// Unsafe code of this file: memory that the kernel's programs read and write at the same time. Places are masked or
// checked; words that both sides change are only touched atomically.

import CLinux
public import WeftABI

/// The memory in which the engine and the kernel's programs agree on who decides about the requests of a connection:
/// bpf/abi_shortcut.h has the protocol. It lives as long as the process does, and what is in it as long as the maps.
@safe public struct ShortcutMemory: BitwiseCopyable, @unchecked Sendable {
    private let shortcuts: UnsafeMutablePointer<weft_shortcut>
    private let legs: UnsafeMutablePointer<weft_shortcut_leg>
    private let tables: UnsafeMutablePointer<weft_shortcut_table>
    private let node: UnsafeMutablePointer<weft_shortcut_node>

    /// The maps of these names, as they are mapped.
    @unsafe public init(
        shortcuts: UnsafeMutablePointer<weft_shortcut>, legs: UnsafeMutablePointer<weft_shortcut_leg>,
        tables: UnsafeMutablePointer<weft_shortcut_table>, node: UnsafeMutablePointer<weft_shortcut_node>
    ) {
        unsafe self.shortcuts = shortcuts
        unsafe self.legs = legs
        unsafe self.tables = tables
        unsafe self.node = node
    }

    /// Forgets what an earlier process has left here, but for clients whose sockets live on.
    func keep(clients: Set<UInt64>) {
        for place in 0..<Int(WEFT_SHORTCUTS) where unsafe !clients.contains((shortcuts + place).pointee.client) {
            unsafe (shortcuts + place).pointee = weft_shortcut()
        }
        for place in 0..<Int(WEFT_SHORTCUT_PLACES) where unsafe !clients.contains((legs + place).pointee.client) {
            unsafe (legs + place).pointee = weft_shortcut_leg()
        }
    }

    // MARK: The node

    /// Of the configuration and of what is known of endpoints: tables of other generations are not used any more.
    var generation: UInt32 { unsafe weft_shared_load(&node.pointee.generation) }

    /// Takes every connection back, with its next request.
    func advance() {
        unsafe weft_shared_increase(&node.pointee.generation)
        // 0 is for: no requests are taken.
        if generation == 0 { unsafe weft_shared_increase(&node.pointee.generation) }
    }

    // MARK: Clients' connections

    private func shortcut(_ client: UInt64) -> UnsafeMutablePointer<weft_shortcut> {
        unsafe shortcuts + Int(client & UInt64(WEFT_SHORTCUTS - 1))
    }

    /// Makes the place of a client's socket, by its cookie, that client's. False: it is another's.
    func begin(_ client: UInt64) -> Bool {
        let place = unsafe shortcut(client)
        guard unsafe weft_shared_change_long(&place.pointee.client, 0, Self.changing) != 0 else { return false }
        var fresh = weft_shortcut()
        fresh.client = Self.changing
        unsafe place.pointee = fresh
        unsafe weft_shared_store_long(&place.pointee.client, client)
        return true
    }

    /// Owner of a place that is being filled.
    private static let changing = UInt64.max

    /// Nothing more is decided about the client's requests.
    func end(_ client: UInt64) {
        let place = unsafe shortcut(client)
        guard isHeld(by: client) else { return }
        unsafe weft_shared_store(&place.pointee.word, ShortcutWord.ofAgent.rawValue)
        _ = unsafe weft_shared_change_long(&place.pointee.client, client, 0)
    }

    /// Whether the place is the client's.
    func isHeld(by client: UInt64) -> Bool {
        unsafe client != 0 && weft_shared_load_long(&shortcut(client).pointee.client) == client
    }

    func word(_ client: UInt64) -> ShortcutWord {
        guard isHeld(by: client) else { return .ofAgent }
        return unsafe ShortcutWord(rawValue: weft_shared_load(&shortcut(client).pointee.word))
    }

    /// Whether the word was `expected`; then it is `word` now.
    func change(_ client: UInt64, from expected: ShortcutWord, to word: ShortcutWord) -> Bool {
        guard isHeld(by: client) else { return true }
        return unsafe weft_shared_change(&shortcut(client).pointee.word, expected.rawValue, word.rawValue) != 0
    }

    /// Lets the programs take the next request.
    ///
    /// - Parameter taken: bytes that have been received from the client.
    func offer(_ client: UInt64, table: UInt32, generation: UInt32, taken: UInt32) {
        guard isHeld(by: client) else { return }
        let place = unsafe shortcut(client)
        unsafe place.pointee.table = table
        unsafe place.pointee.generation = generation
        unsafe place.pointee.taken = taken
        unsafe weft_shared_store(&place.pointee.word, ShortcutWord.offered.rawValue)
    }

    /// What the programs have done with a client's requests.
    func progress(_ client: UInt64) -> ShortcutProgress {
        guard isHeld(by: client) else { return ShortcutProgress() }
        let place = unsafe shortcut(client).pointee
        return ShortcutProgress(
            requests: place.requests, started: place.started_ns, answered: place.answered_ns, ended: place.ended_ns,
            requestBody: UInt64(place.request_body), leg: Int(place.leg), isHead: place.is_head != 0,
            firstClass: place.first_class)
    }

    /// Bytes that the engine had received from the client when it made its last offer, modulo 2^32.
    func taken(_ client: UInt64) -> UInt32 { isHeld(by: client) ? unsafe shortcut(client).pointee.taken : 0 }

    /// How often requests or responses were left to the engine, by `weft_shortcut_reason`.
    func left(_ client: UInt64, _ reason: Int) -> UInt32 {
        guard isHeld(by: client), reason >= 0, reason < Int(WEFT_SHORTCUT_REASONS.rawValue) else { return 0 }
        let offset = MemoryLayout<weft_shortcut>.offset(of: \.left) ?? 0
        return unsafe UnsafeRawPointer(shortcut(client)).load(fromByteOffset: offset + 4 * reason, as: UInt32.self)
    }

    // MARK: Legs

    private func leg(_ cookie: UInt64) -> UnsafeMutablePointer<weft_shortcut_leg> {
        unsafe legs + Int(cookie & UInt64(WEFT_SHORTCUT_PLACES - 1))
    }

    /// Gives a client's connection a leg. Only while the word is the agent's. False: the leg's place is another's.
    func attach(_ leg: ShortcutLeg, to client: UInt64) -> Bool {
        guard isHeld(by: client), leg.number < Int(WEFT_SHORTCUT_LEGS) else { return false }
        let entry = unsafe self.leg(leg.cookie)
        if unsafe weft_shared_load_long(&entry.pointee.cookie) != leg.cookie {
            guard unsafe weft_shared_change_long(&entry.pointee.cookie, 0, Self.changing) != 0 else { return false }
        }
        unsafe weft_shared_store_long(&entry.pointee.client, 0)
        var fresh = weft_shortcut_leg()
        fresh.cookie = Self.changing
        unsafe entry.pointee = fresh
        unsafe entry.pointee.service = leg.service
        unsafe entry.pointee.destination = leg.destination
        unsafe entry.pointee.taken = leg.taken
        unsafe entry.pointee.number = UInt32(leg.number)
        unsafe entry.pointee.client = client
        unsafe weft_shared_store_long(&entry.pointee.cookie, leg.cookie)
        let place = unsafe UnsafeMutableRawPointer(shortcut(client))
        unsafe place.storeBytes(of: leg.cluster, toByteOffset: Self.clusters + leg.number, as: UInt8.self)
        unsafe place.storeBytes(of: leg.cookie, toByteOffset: Self.cookies + 8 * leg.number, as: UInt64.self)
        return true
    }

    /// Whose leg it is; 0: nobody's.
    func client(ofLeg cookie: UInt64) -> UInt64 {
        let entry = unsafe leg(cookie).pointee
        return entry.cookie == cookie ? entry.client : 0
    }

    /// Which of its client's legs one is, and the bytes that the engine has received on it, modulo 2^32.
    func position(ofLeg cookie: UInt64) -> (number: Int, taken: UInt32) {
        let entry = unsafe leg(cookie).pointee
        return (Int(entry.number), entry.taken)
    }

    /// Takes a leg away. No request is sent on it from now on; one that is under way is the caller's to look after.
    func detach(_ number: Int, _ cookie: UInt64, from client: UInt64) {
        let entry = unsafe leg(cookie)
        if unsafe weft_shared_load_long(&entry.pointee.cookie) == cookie {
            unsafe weft_shared_store_long(&entry.pointee.client, 0)
            unsafe weft_shared_store_long(&entry.pointee.cookie, 0)
        }
        guard isHeld(by: client), number >= 0, number < Int(WEFT_SHORTCUT_LEGS) else { return }
        let place = unsafe UnsafeMutableRawPointer(shortcut(client))
        unsafe place.storeBytes(of: 0, toByteOffset: Self.cookies + 8 * number, as: UInt64.self)
    }

    /// How many responses have gone straight over a leg, and the sum of the times to their first bytes, in nanoseconds.
    func responses(_ cookie: UInt64) -> (count: UInt64, latency: UInt64) {
        let entry = unsafe leg(cookie).pointee
        return entry.cookie == cookie ? (entry.responses, entry.latency_ns) : (0, 0)
    }

    /// Whether nothing can be redirected to a leg: it was opened before its backend was accelerated.
    func isUnfit(_ cookie: UInt64) -> Bool {
        let entry = unsafe leg(cookie).pointee
        return entry.cookie == cookie && entry.is_unfit != 0
    }

    private static let cookies = MemoryLayout<weft_shortcut>.offset(of: \.legs) ?? 0
    private static let clusters = MemoryLayout<weft_shortcut>.offset(of: \.clusters) ?? 0

    // MARK: Tables

    /// Writes a table that no connection uses.
    func write(_ compiled: CompiledShortcuts, generation: UInt32, at place: Int) {
        precondition(place >= 0 && place < Int(WEFT_SHORTCUT_TABLES))
        let table = unsafe tables + place
        unsafe weft_shared_store(&table.pointee.generation, 0)
        unsafe table.pointee = compiled.table
        unsafe weft_shared_store(&table.pointee.generation, generation)
    }

    /// How many requests were taken that met a rule.
    func hits(_ rule: Int, at place: Int) -> UInt64 {
        precondition(place >= 0 && place < Int(WEFT_SHORTCUT_TABLES) && rule >= 0 && rule < Int(WEFT_SHORTCUT_RULES))
        let offset = MemoryLayout<weft_shortcut_table>.offset(of: \.hits) ?? 0
        return unsafe UnsafeRawPointer(tables + place).load(fromByteOffset: offset + 8 * rule, as: UInt64.self)
    }
}

/// Who decides about a client's next request: `enum weft_shortcut_word`.
struct ShortcutWord: BitwiseCopyable, Equatable {
    var rawValue: UInt32

    static let ofAgent = ShortcutWord(rawValue: WEFT_SHORTCUT_OF_AGENT.rawValue)
    static let offered = ShortcutWord(rawValue: WEFT_SHORTCUT_OFFERED.rawValue)
    static let ofKernel = ShortcutWord(rawValue: WEFT_SHORTCUT_OF_KERNEL.rawValue)

    /// A request has gone to a backend, and its response has not ended.
    var isAwaiting: Bool { rawValue & WEFT_SHORTCUT_AWAITING.rawValue != 0 }
    /// The response has begun, straight to the client.
    var isAnswering: Bool { rawValue & WEFT_SHORTCUT_ANSWERING.rawValue != 0 }
    /// The response comes here.
    var isLeft: Bool { rawValue & WEFT_SHORTCUT_LEFT.rawValue != 0 }
}

/// What the programs have done with a client's requests; times are CLOCK_MONOTONIC in nanoseconds.
struct ShortcutProgress: BitwiseCopyable {
    var requests: UInt64 = 0
    /// Of the last one, and of its response's first and last byte.
    var started: UInt64 = 0
    var answered: UInt64 = 0
    var ended: UInt64 = 0
    var requestBody: UInt64 = 0
    var leg = 0
    var isHead = false
    /// Of the first response's status.
    var firstClass: UInt8 = 0
}

/// A connection to a backend that one client's requests may go on.
struct ShortcutLeg: BitwiseCopyable {
    var cookie: UInt64
    var number: Int
    /// In its table.
    var cluster: UInt8
    var service: UInt64
    var destination: UInt64
    /// Bytes that have been received from the backend.
    var taken: UInt32
}
