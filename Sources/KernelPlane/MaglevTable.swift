internal import Mesh

extension MaglevTable {
    /// The table as the programs read it: element 0 is its length, the rest backend identifiers.
    static func words(_ backends: [(id: UInt64, weight: UInt16)]) -> [UInt64] {
        let places = build(backends)
        return [UInt64(places.count)] + places.map { backends[$0].id }
    }
}
