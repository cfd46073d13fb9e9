internal import Mesh

// What is known of workloads beside their policies.
extension AuthorizationTable {
    /// What the policies of an endpoint's workload are decided by on this node; -1: nothing is to be decided here, because
    /// there are none or the workload's own node decides.
    ///
    /// - Parameter workload: nil: the endpoint is no workload, so that no policy selects it.
    func group(ofEndpoint endpoint: MeshEndpoint, workload identifier: UInt64) -> Int32 {
        guard endpoint.workload != nil else { return -1 }
        let place = workloadIndex.find(identifier)
        guard place >= 0 else { return unknownGroup }
        return principals[place].decidesAtHome && !isUntunnelled(place, endpoint.port) ? -1 : workloadGroups[place]
    }

    /// Nothing is tunnelled towards that port.
    private func isUntunnelled(_ place: Int, _ port: UInt16) -> Bool {
        for index in principals[place].plainPorts.indices where ports[index] == port {
            return !principals[place].isPlain
        }
        return principals[place].isPlain
    }

    /// Whether the path has an encoded slash or backslash, or an escape that is itself escaped, where a rule of the group is
    /// about paths: backends differ in what they take such a path for.
    func hidesPath(_ group: Int32, _ view: borrowing RequestView) -> Bool {
        let path = view.path
        guard groups[Int(group)].hasPaths, path.byteCount >= 3 else { return false }
        // In the normal form every escape is complete and has upper-case digits.
        for index in 0..<path.byteCount - 2 where path[index] == UInt8(ascii: "%") {
            switch (path[index + 1], path[index + 2]) {
            case (UInt8(ascii: "2"), UInt8(ascii: "F")), (UInt8(ascii: "5"), UInt8(ascii: "C")): return true
            case (UInt8(ascii: "2"), UInt8(ascii: "5")):
                if index + 4 < path.byteCount, path[index + 3].hexValue != nil, path[index + 4].hexValue != nil {
                    return true
                }
            default: break
            }
        }
        return false
    }

    /// The address that a workload's connections to `destination` come from, as policies see it: those that the kernel has
    /// turned to the agent come from a loopback address, but are made by that workload.
    func sourceAddress(
        ofWorkload identifier: UInt64, peer: ClientAddress, to destination: ClientAddress
    ) -> ClientAddress {
        guard peer.isLoopback, !destination.isLoopback else { return peer }
        let place = workloadIndex.find(identifier)
        guard place >= 0 else { return peer }
        let known = destination.isIPv4 ? principals[place].address : principals[place].address6
        return known.high | known.low == 0 ? peer : known
    }
}

extension ClientAddress {
    var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

    var isLoopback: Bool { isIPv4 ? low >> 24 & 0xff == 127 : high == 0 && low == 1 }
}
