import BPF
import Testing

extension BPFTests {
    @Suite struct Features {
        @Test func thisKernelHasAllThatIsRequired() throws {
            let clock = ContinuousClock()
            var features: KernelFeatures?
            let time = clock.measure { features = KernelFeatures.probe() }
            let found = try #require(features)
            #expect(found.missing.map(\.name) == [])
            #expect(found.all.count >= 20)
            #expect(Set(found.all.map(\.name)).count == found.all.count)
            #expect(found.all.allSatisfy { !$0.purpose.isEmpty })
            #expect(!found.has("no_such_feature"))
            // The bound is generous because the machine may be busy; the figure itself is tens of milliseconds.
            #expect(time < .milliseconds(500), "\(time)")
        }

        @Test func whatTheKernelLacksIsReportedMissing() {
            // Tracing programs need an attachment point; no kernel has an iterator of this name.
            #expect(!KernelFeatures.hasIterator("weft_no_such_iterator"))
            #expect(KernelFeatures.hasIterator("bpf_sk_storage_map"))
        }
    }
}
