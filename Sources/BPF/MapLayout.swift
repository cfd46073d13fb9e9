import Glibc

extension RawMap {
    /// Compares the sizes of the Swift types with the kernel's, and with those of the types in the map's BTF.
    func checkLayout(key: Any.Type, keyLayout: Int, value: Any.Type, valueLayout: Int) throws(BPFError) {
        let btf = info.btfID == 0 ? nil : try? BTF.load(id: info.btfID)
        let inBTF = (key: btf?.size(of: info.btfKeyTypeID), value: btf?.size(of: info.btfValueTypeID))
        guard
            keyLayout == info.keySize, valueLayout == info.valueSize, (inBTF.key ?? keyLayout) == keyLayout,
            (inBTF.value ?? valueLayout) == valueLayout
        else {
            func named(_ size: Int, _ type: UInt32) -> String {
                guard let name = btf?.typeName(of: type) else { return "\(size) B" }
                return "\(name), \(size) B"
            }
            throw BPFError(
                operation: "open the map", subject: name, errno: EINVAL,
                detail: "in the kernel its key is (\(named(info.keySize, info.btfKeyTypeID))) and its value "
                    + "(\(named(info.valueSize, info.btfValueTypeID))); expected are key (\(key), \(keyLayout) B) and value "
                    + "(\(value), \(valueLayout) B)")
        }
    }

    func checkLayout<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        key: Key.Type, value: Value.Type
    ) throws(BPFError) {
        try checkLayout(
            key: Key.self, keyLayout: MemoryLayout<Key>.size, value: Value.self, valueLayout: MemoryLayout<Value>.size)
    }
}
