import Testing

@testable import weft

@Suite struct MapChangeTests {
    private func entry(_ key: String, open: Int64) -> MapEntry {
        MapEntry(key: key, record: Record([Field("backend", .string(key)), Field("open", .integer(open))]))
    }

    @Test func findsWhatCameChangedAndWent() {
        let old = [entry("a", open: 1), entry("b", open: 2), entry("c", open: 3)]
        let new = [entry("a", open: 1), entry("b", open: 5), entry("d", open: 0)]
        let changes = MapChange.changes(from: old, to: new)
        #expect(changes == [.changed(from: old[1], to: new[1]), .added(new[2]), .removed(old[2])])
        #expect(changes.flatMap(\.lines) == ["~ b  open 2 → 5 (+3)", "+ d  open=0", "- c"])
    }

    @Test func isAnObjectForPrograms() {
        let change = MapChange.changed(from: entry("b", open: 2), to: entry("b", open: 5))
        #expect(
            change.value(at: "15:04:05").json(indented: false)
                == #"{"time":"15:04:05","change":"changed","key":"b","entry":{"backend":"b","open":5},"#
                + #""previous":{"backend":"b","open":2}}"#)
    }

    @Test func nothingChangedIsNothing() {
        #expect(MapChange.changes(from: [entry("a", open: 1)], to: [entry("a", open: 1)]).isEmpty)
    }
}
