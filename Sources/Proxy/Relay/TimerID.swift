/// How the timers of a worker's connections and requests are numbered.
enum TimerID {
    static func capacity(connections: UInt32) -> UInt32 { connections * 3 }

    static func downstream(_ index: UInt32) -> UInt32 { index * 3 }
    static func exchange(_ index: UInt32) -> UInt32 { index * 3 + 1 }
    static func upstream(_ index: UInt32) -> UInt32 { index * 3 + 2 }
}
