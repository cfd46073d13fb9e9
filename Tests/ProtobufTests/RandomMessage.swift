import Protobuf

/// A message with random fields of the type that `CrossCheckTests.schema` describes.
struct RandomMessage: Equatable {
    var signed64: Int64 = 0
    var signed32: Int32 = 0
    var zigzag: Int64 = 0
    var fixed32: UInt32 = 0
    var fixed64: UInt64 = 0
    var double = 0.0
    var float: Float = 0
    var flag = false
    var text = ""
    var data: [UInt8] = []
    var numbers: [UInt64] = []
    var labels: [String: String] = [:]
    var children: [RandomMessage] = []

    init() {}

    init(using random: inout some RandomNumberGenerator, depth: Int = 0) {
        signed64 = Int64.random(in: .min ... .max, using: &random) >> Int64.random(in: 0..<64, using: &random)
        signed32 = Int32.random(in: .min ... .max, using: &random)
        zigzag = Int64.random(in: .min ... .max, using: &random) >> Int64.random(in: 0..<64, using: &random)
        fixed32 = UInt32.random(in: 0 ... .max, using: &random)
        fixed64 = UInt64.random(in: 0 ... .max, using: &random)
        double = Double.random(in: -1e9...1e9, using: &random)
        float = Float.random(in: -1e9...1e9, using: &random)
        flag = Bool.random(using: &random)
        text = String(
            (0..<Int.random(in: 0..<20, using: &random)).map { _ in "aé\u{10348}\"\n".randomElement() ?? "a" })
        data = (0..<Int.random(in: 0..<200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        numbers = (0..<Int.random(in: 0..<9, using: &random)).map { _ in UInt64.random(in: 0 ... .max, using: &random) }
        labels = ["k": text]
        guard depth < 3 else { return }
        children = (0..<Int.random(in: 0..<3, using: &random)).map { _ in Self(using: &random, depth: depth + 1) }
    }

    var bytes: [UInt8] {
        var writer = ProtobufWriter()
        write(to: &writer)
        return writer.bytes
    }

    func write(to writer: inout ProtobufWriter) {
        writer.integer(1, signed64)
        writer.integer(2, signed32)
        writer.signed(3, zigzag)
        writer.fixed32(4, fixed32)
        writer.fixed64(5, fixed64)
        writer.double(6, double)
        writer.float(7, float)
        writer.bool(8, flag)
        writer.string(9, text)
        writer.bytes(10, data)
        writer.packed(11, numbers)
        for (key, value) in labels { writer.entry(12, key: key, value: value) }
        for child in children { writer.message(2000) { child.write(to: &$0) } }
    }

    init(_ bytes: [UInt8]) throws(ProtobufError) {
        self.init()
        var reader = ProtobufReader(bytes.span)
        while let field = try reader.next() {
            switch field {
            case 1: signed64 = try reader.int64()
            case 2: signed32 = try reader.int32()
            case 3: zigzag = try reader.signed()
            case 4: fixed32 = try reader.fixed32()
            case 5: fixed64 = try reader.fixed64()
            case 6: double = try reader.double()
            case 7: float = try reader.float()
            case 8: flag = try reader.bool()
            case 9: text = try reader.string()
            case 10: data = try reader.array()
            case 11: try reader.append(to: &numbers)
            case 12:
                let (key, value) = try reader.entry()
                labels[key] = value
            case 2000: children.append(try RandomMessage(reader.array()))
            default: break
            }
        }
    }
}
