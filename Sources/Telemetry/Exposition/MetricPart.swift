/// A part of an exposition in steps, so that a large one is written in pieces and nobody has to wait for the whole of it.
///
/// It holds the values as they were when it was made: an exposition is of one moment, however long its reader takes.
public struct MetricPart {
    let steps: Int
    private let body: (_ step: Int, inout MetricWriter) -> Void

    /// - Parameter body: writes what belongs to a step: whole lines. The steps are made in order, once each.
    init(steps: Int, _ body: @escaping (_ step: Int, inout MetricWriter) -> Void) {
        self.steps = steps
        self.body = body
    }

    /// A part that is short enough for one step.
    public init(_ body: @escaping (inout MetricWriter) -> Void) {
        self.init(steps: 1) { _, writer in body(&writer) }
    }

    func write(step: Int, to writer: inout MetricWriter) { body(step, &writer) }

    func write(to writer: inout MetricWriter) {
        for step in 0..<steps { body(step, &writer) }
    }
}

/// An exposition that is written while it is read: of a large one there is never more than a piece in memory.
public struct MetricStream {
    /// Bytes of a piece, about: it ends with the step that goes beyond. Such a piece stays in the processor's cache.
    public static let pieceSize = 1 << 18

    private var writer: MetricWriter
    private let parts: [MetricPart]
    private var part = 0
    private var step = 0

    public init(_ format: ExpositionFormat, _ parts: [MetricPart]) {
        writer = MetricWriter(format, capacity: 0)
        self.parts = parts
    }

    /// Appends the next piece.
    ///
    /// - Returns: false after the last one: there is no other.
    public mutating func next(into bytes: inout [UInt8]) -> Bool {
        swap(&bytes, &writer.bytes)
        defer { swap(&bytes, &writer.bytes) }
        let enough = writer.bytes.count + Self.pieceSize
        while part < parts.count {
            while step < parts[part].steps {
                guard writer.bytes.count < enough else { return true }
                parts[part].write(step: step, to: &writer)
                step += 1
            }
            part += 1
            step = 0
        }
        writer.end()
        return false
    }
}
