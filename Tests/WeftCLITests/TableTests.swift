import Testing

@testable import weft

@Suite struct TableTests {
    private let records = [
        Record([Field("name", "shop/web:http"), Field("backends", 2), .hidden("id", "0x1")]),
        Record([Field("name", "shop/a"), Field("backends", 120), .hidden("id", "0x2")]),
    ]

    @Test func alignsWordsLeftAndNumbersRight() {
        #expect(
            Table(records).text(width: nil, colours: false) == """
                NAME           BACKENDS
                shop/web:http         2
                shop/a              120

                """)
    }

    @Test func hidesFieldsThatAreForProgramsOnly() {
        #expect(!Table(records).text(width: nil, colours: false).contains("0x1"))
        #expect(records[0].value == ["name": "shop/web:http", "backends": 2, "id": "0x1"])
    }

    @Test func cutsTheWidestColumnToTheTerminal() {
        let text = Table(records).text(width: 20, colours: false)
        #expect(text.split(separator: "\n").allSatisfy { displayWidth(String($0)) <= 20 })
        #expect(text.contains("shop/web:…"))
    }

    @Test func leavesShortColumnsWholeOnATerminalThatIsTooNarrow() {
        let text = Table(records).text(width: 4, colours: false)
        #expect(text.contains("BACKENDS") && text.contains("shop/we…"))
    }

    @Test func aNarrowTerminalDoesWithoutSomeColumns() {
        var table = Table(records)
        var widths = table.widths()
        table.drop(["BACKENDS"], toFit: 30, &widths)
        #expect(table.titles == ["NAME", "BACKENDS"] && widths == [13, 8])
        table.drop(["BACKENDS"], toFit: 16, &widths)
        #expect(table.titles == ["NAME"] && widths == [13])
    }

    @Test func aFieldThatIsOfNoUseWhenCutStaysWhole() {
        let record = Record([Field("time", "15:04:05.123").whole, Field("name", "shop/a-long-name")])
        #expect(Table([record]).text(width: 20, colours: false).hasSuffix("15:04:05.123  shop/a-…\n"))
    }

    @Test func alignsWideLettersAndKeepsColoursOutOfTheWidth() {
        let wide = [
            Record([Field("name", "店/ウェブ"), Field("state", "active", style: .good)]),
            Record([Field("name", "shop/web!"), Field("state", "active", style: .good)]),
        ]
        let lines = Table(wide).text(width: nil, colours: true).split(separator: "\n").dropFirst()
        #expect(
            lines.map { String($0) } == ["店/ウェブ  \u{1b}[32mactive\u{1b}[0m", "shop/web!  \u{1b}[32mactive\u{1b}[0m"])
    }

    @Test func keepsEscapeSequencesFromTheTerminal() {
        let hostile = [Record([Field("name", "\u{1b}[2Jgone\n")])]
        #expect(Table(hostile).text(width: nil, colours: true).hasSuffix("\u{fffd}[2Jgone\u{fffd}\n"))
    }

    @Test func printsNothingWithoutRecords() {
        #expect(Table([]).text(width: nil, colours: false) == "")
    }

    @Test(arguments: [
        ("127.96.0.9", "127.96.0.10", true), ("a2", "a10", true), ("a10", "a2", false), ("a", "a1", true),
        ("b", "a", false), ("a02", "a3", true),
    ])
    func sortsNumbersInNamesByValue(_ a: String, _ b: String, _ isBefore: Bool) {
        #expect(naturally(a, b) == isBefore)
    }
}
