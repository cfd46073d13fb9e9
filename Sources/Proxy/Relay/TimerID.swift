/// How the timers of a worker's connections and requests are numbered.
enum TimerID {
    /// Of each number there are as many as the highest of these counts.
    static func capacity(connections: UInt32, tunnels: UInt32) -> UInt32 { max(connections, tunnels) * kinds }

    /// What `timer % kinds` says.
    static let kinds: UInt32 = 5

    static func downstream(_ index: UInt32) -> UInt32 { index * kinds }
    static func exchange(_ index: UInt32) -> UInt32 { index * kinds + 1 }
    static func upstream(_ index: UInt32) -> UInt32 { index * kinds + 2 }
    static func tunnelSession(_ index: UInt32) -> UInt32 { index * kinds + 3 }
    static func tunnelStream(_ index: UInt32) -> UInt32 { index * kinds + 4 }
}
