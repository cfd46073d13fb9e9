import Testing

/// The libbpf wrapper on the real kernel. One after the other: several tests look at the whole machine.
@Suite(.serialized) struct BPFTests {}
