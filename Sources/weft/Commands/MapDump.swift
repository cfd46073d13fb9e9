import ArgumentParser
import BPF

extension MapCommand {
    struct Dump: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print every entry of a map.",
            discussion: """
                Weft's maps are printed with names in the place of identifiers. With --all any map on the machine is \
                printed as its type information (BTF) describes it.

                EXAMPLES
                  weft map dump services
                  weft map dump traffic -o json | jq '.[] | select(.denied > 0)'
                  weft map dump --all 17               the map with the kernel's id 17
                  weft map dump --all kubeproxy_ct     every map of that name
                """)

        @Argument(help: ArgumentHelp("The map's name; with --all its name or its id.", valueName: "map"))
        var map: String

        @Flag(help: "Any map on the machine, decoded by its BTF.")
        var all = false

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            if all { return try ForeignMaps.dump(map, format) }
            let argument = try MapTable.selected(map)
            let maps = try pins.open()
            format.print(try argument.dump(maps, Resolver(maps)).map(\.record), empty: "\(map) is empty")
        }
    }

    struct Get: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the entries that a key names.",
            discussion: """
                Keys are typed as people write them; 'weft map watch' prints them, and an \
                identifier (0x…) works wherever a name does. Exit status 1 if there is no such entry.

                KEYS
                \(MapTable.all.map { "  \($0.name.padded(to: 16)) \($0.keyForm)" }.joined(separator: "\n"))

                EXAMPLES
                  weft map get services 127.96.0.10:80/tcp
                  weft map get workloads shop/web-1 -o yaml
                  weft map get cgroups /shop/web
                  weft map get names 0x3f2a9c0011d47e55
                """)

        @Argument(help: ArgumentHelp("The map's name, as 'weft map list' shows it.", valueName: "map"))
        var map: String

        @Argument(help: "The key.")
        var key: String

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let table = try MapTable.selected(map)
            let maps = try pins.open()
            let entries = try table.find(maps, Resolver(maps), key)
            guard !entries.isEmpty else {
                throw Failure.no("\(map) has no entry '\(key)' (its keys are typed as \(table.keyForm))")
            }
            let records = entries.map(\.record)
            format.print(.array(records.map(\.value))) { terminal in
                if records.count == 1 {
                    var page = Page(terminal)
                    page.facts(records[0].fields.map { ($0.name, $0.text.isEmpty ? $0.value.cell : $0.text, $0.style) })
                    return page.text
                }
                return Table(records).text(width: terminal.width, colours: terminal.hasColours)
            }
        }
    }
}

extension MapTable {
    /// The table that a command line names.
    static func selected(_ name: String) throws(Failure) -> MapTable {
        if let table = named(name) { return table }
        if let unkeyed = UnkeyedMap(rawValue: name) { throw .usage(unkeyed.advice) }
        throw .usage("there is no map '\(name)'; the maps are \(all.map(\.name).joined(separator: ", "))")
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
