import ArgumentParser
import BPF

struct MapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "map", abstract: "The eBPF maps, decoded, with names for identifiers.",
        discussion: """
            EXAMPLES
              weft map list
              weft map dump services
              weft map get services 127.96.0.10:80/tcp
              weft map watch rule_counters --interval 1s
            """,
        subcommands: [List.self, Dump.self, Get.self, Watch.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List maps with their sizes and how full they are.",
            discussion: """
                EXAMPLES
                  weft map list                    Weft's maps
                  weft map list --all              every map on the machine
                  weft map list -o json | jq '.[] | select(.pressure > 0.8) | .name'
                """)

        @Flag(help: "Every map on the machine, whoever made it.")
        var all = false

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            guard all else { return format.print(try Self.records(pins), empty: "no maps") }
            let maps: [AnyMapInfo]
            do { maps = try MapDirectory.all() } catch { throw Failure(error) }
            format.print(
                maps.map { Self.record($0.name, MapSize($0, entries: nil), isOurs: false) },
                empty: "no eBPF maps on this machine")
        }

        static func records(_ pins: PinOptions) throws -> [Record] {
            let maps = try pins.open()
            let keyed = try MapTable.all.map { Self.record($0.name, try $0.size(maps), isOurs: true, $0.summary) }
            let others = try UnkeyedMap.allCases.map {
                Self.record($0.rawValue, try $0.size(in: pins.directory), isOurs: true, $0.summary)
            }
            return keyed + others
        }

        private static func record(_ name: String, _ size: MapSize, isOurs: Bool, _ summary: String = "") -> Record {
            // Every entry of an array is there from the start.
            let pressure =
                size.type.hasSuffix("array") ? nil : size.entries.map { Double($0) / Double(max(1, size.maxEntries)) }
            var fields: [Field] = isOurs ? [] : [Field("id", Value(size.id))]
            fields += [
                Field("name", .string(name)),
                Field("type", .string(size.type)),
            ]
            if isOurs {
                fields += [
                    Field("entries", size.entries.map { Value($0) } ?? .null)
                ]
            }
            fields.append(Field("maxEntries", Value(size.maxEntries), title: "MAX"))
            if isOurs {
                let style: Style = (pressure ?? 0) >= 0.95 ? .bad : (pressure ?? 0) >= 0.8 ? .caution : .plain
                fields.append(
                    Field(
                        "pressure", pressure.map(Value.number) ?? .null, text: pressure.map(formatShare) ?? "-",
                        style: style))
            }
            fields += [
                Field("keySize", Value(size.keySize), title: "KEY"),
                Field("valueSize", Value(size.valueSize), title: "VALUE"),
                Field(
                    "memoryBytes", size.memoryBytes.map { Value($0) } ?? .null, title: "MEMORY",
                    text: size.memoryBytes.map { formatBytes(UInt64(clamping: $0)) } ?? "-"),
            ]
            if isOurs {
                fields.append(.hidden("id", Value(size.id)))
                fields.append(.hidden("summary", .string(summary)))
            }
            return Record(fields)
        }
    }
}
