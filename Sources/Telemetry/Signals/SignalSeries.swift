/// The series that there are, by number. A series stays for as long as something counts for it or it has changed not
/// long ago; then its number is another one's.
struct SignalSeries: Sendable {
    struct Series: Sendable {
        let key: SignalKey
        /// Connections that are open now.
        var open: Int64 = 0
        fileprivate var lastChange: UInt64 = 0
        /// Entries of the kernel's or of workers' that count for it.
        fileprivate var references = 0
    }

    private(set) var all: [Series?] = []
    private var free: [Int32] = []
    private var numbers: [SignalKey: Int32] = [:]

    /// Grows whenever there is another series, or one less.
    private(set) var changes = 0

    var count: Int { numbers.count }

    subscript(number: Int32) -> Series? { all[Int(number)] }

    /// The series of a key, for one more entry.
    mutating func retain(_ key: SignalKey) -> Int32 {
        let number: Int32
        if let known = numbers[key] {
            number = known
        } else {
            number = free.popLast() ?? Int32(all.count)
            if number == all.count { all.append(nil) }
            all[Int(number)] = Series(key: key)
            numbers[key] = number
            changes += 1
        }
        all[Int(number)]?.references += 1
        return number
    }

    mutating func release(_ number: Int32) { all[Int(number)]?.references -= 1 }

    mutating func addOpen(_ change: Int64, to number: Int32) { all[Int(number)]?.open &+= change }

    mutating func touch(_ number: Int32, _ now: UInt64) { all[Int(number)]?.lastChange = now }

    mutating func expire(before time: UInt64) {
        for number in all.indices {
            guard let one = all[number], one.references == 0, one.lastChange < time else { continue }
            numbers[one.key] = nil
            all[number] = nil
            free.append(Int32(number))
            changes += 1
        }
    }
}
