/// What an executable's file says about what it can do.
public struct ExecutableTraits: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// It asks the C library for splice().
    public static let importsSplice = ExecutableTraits(rawValue: 1)
    /// Go's linker has made it: it has Go's information about its build.
    public static let go = ExecutableTraits(rawValue: 2)
    /// Its system calls have other numbers than this program's.
    public static let otherArchitecture = ExecutableTraits(rawValue: 4)

    /// Its code has the instruction that makes FIONREAD an argument of ioctl().
    public static let asksFIONREAD = ExecutableTraits(rawValue: 8)

    /// A section of an executable that is larger is not read.
    private static let largestSection: UInt64 = 64 << 20

    /// `mov $FIONREAD, %esi` or `mov w1, #FIONREAD`: the second argument of a call.
    private static var fionread: [UInt8] {
        #if arch(arm64)
            [0x61, 0x83, 0x8a, 0x52]
        #else
            [0xbe, 0x1b, 0x54, 0x00, 0x00]
        #endif
    }

    /// Of an ELF file; nil if it is none.
    ///
    /// Source: elf(5); Go's debug/buildinfo for the name of its section.
    ///
    /// - Parameter read: the bytes at an offset, as many as asked for; fewer or none where the file ends.
    public static func of(elf read: (_ offset: UInt64, _ length: Int) -> [UInt8]) -> ExecutableTraits? {
        let header = read(0, 64)
        guard header.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else { return nil }
        // ELFCLASS64, ELFDATA2LSB, this machine.
        guard header.count == 64, header[4] == 2, header[5] == 1, header.number(18, 2) == Self.machine else {
            return .otherArchitecture
        }
        var traits: ExecutableTraits = []
        let (entrySize, count) = (header.number(58, 2), header.number(60, 2))
        guard entrySize >= 64 else { return traits }
        let table = read(header.number(40, 8), Int(entrySize * count))
        let headers = stride(from: 0, to: table.count, by: Int(entrySize)).map { Array(table[$0...].prefix(64)) }
            .filter { $0.count == 64 }
        func content(_ index: UInt64) -> [UInt8] {
            guard let index = Int(exactly: index), headers.indices.contains(index) else { return [] }
            let size = headers[index].number(32, 8)
            return size <= Self.largestSection ? read(headers[index].number(24, 8), Int(size)) : []
        }
        let names = content(header.number(62, 2))
        for (index, section) in headers.enumerated() {
            if names.hasText(".go.buildinfo", at: section.number(0, 4)) { traits.insert(.go) }
            // SHF_EXECINSTR
            if section.number(8, 8) & 4 != 0, content(UInt64(index)).contains(Self.fionread) {
                traits.insert(.asksFIONREAD)
            }
            // SHT_DYNSYM: symbols whose names are in the section that it links to.
            guard section.number(4, 4) == 11 else { continue }
            let (symbols, strings) = (content(UInt64(index)), content(section.number(40, 4)))
            for symbol in stride(from: 0, to: symbols.count - 23, by: 24)
            // Undefined (SHN_UNDEF): somebody else's.
            where symbols.number(symbol + 6, 2) == 0 && strings.hasText("splice", at: symbols.number(symbol, 4)) {
                traits.insert(.importsSplice)
            }
        }
        return traits
    }

    /// EM_X86_64 or EM_AARCH64.
    private static var machine: UInt64 {
        #if arch(arm64)
            183
        #else
            62
        #endif
    }
}

extension [UInt8] {
    /// A little-endian number of so many bytes; 0 beyond the end.
    fileprivate func number(_ offset: Int, _ size: Int) -> UInt64 {
        guard offset >= 0, offset + size <= count else { return 0 }
        return self[offset..<offset + size].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Whether that text, with the zero that ends it, is there.
    fileprivate func hasText(_ text: String, at offset: UInt64) -> Bool {
        guard let offset = Int(exactly: offset), offset < count else { return false }
        return self[offset...].starts(with: Array(text.utf8) + [0])
    }
}
