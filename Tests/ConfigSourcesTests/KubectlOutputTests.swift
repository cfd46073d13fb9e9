import Mesh
import Testing

@testable import ConfigSources

@Suite("kubectl get -o yaml")
struct KubectlOutputTests {
    /// `kubectl get svc,endpointslices,pods,ns -o yaml`, with what the API server and its controllers add.
    static let list = """
        apiVersion: v1
        items:
        - apiVersion: v1
          kind: Service
          metadata:
            annotations:
              kubectl.kubernetes.io/last-applied-configuration: |
                {"apiVersion":"v1","kind":"Service","metadata":{"annotations":{},"name":"web","namespace":"shop"}}
            creationTimestamp: "2025-05-04T09:12:31Z"
            labels:
              app.kubernetes.io/name: web
            managedFields:
            - apiVersion: v1
              fieldsType: FieldsV1
              fieldsV1:
                f:spec:
                  f:ports:
                    .: {}
                    k:{"port":80,"protocol":"TCP"}:
                      .: {}
                      f:port: {}
              manager: kubectl-client-side-apply
              operation: Update
              time: "2025-05-04T09:12:31Z"
            name: web
            namespace: shop
            resourceVersion: "48211"
            uid: 5c1bd3f4-0e0c-4d0b-9d9e-8f5c2d6e1a70
          spec:
            allocateLoadBalancerNodePorts: true
            clusterIP: 10.96.11.7
            clusterIPs:
            - 10.96.11.7
            - fd00:10:96::b07
            externalIPs:
            - 192.0.2.10
            externalTrafficPolicy: Cluster
            internalTrafficPolicy: Cluster
            ipFamilies:
            - IPv4
            - IPv6
            ipFamilyPolicy: PreferDualStack
            ports:
            - appProtocol: http
              name: http
              nodePort: 31380
              port: 80
              protocol: TCP
              targetPort: http
            selector:
              app: web
            sessionAffinity: None
            type: LoadBalancer
          status:
            loadBalancer:
              ingress:
              - ip: 198.51.100.7
                ipMode: VIP
        - addressType: IPv4
          apiVersion: discovery.k8s.io/v1
          endpoints:
          - addresses:
            - 10.244.1.5
            conditions:
              ready: true
              serving: true
              terminating: false
            nodeName: node-a
            targetRef:
              kind: Pod
              name: web-6d4cf56db6-abcde
              namespace: shop
              uid: 0b0c8f7e-2a6b-4a57-9c3a-0d2d5f7f2f11
            zone: eu-1a
          - addresses:
            - 10.244.2.9
            conditions:
              ready: false
              serving: true
              terminating: true
            nodeName: node-b
          - addresses:
            - 10.244.2.10
            conditions:
              ready: false
              serving: false
              terminating: false
            nodeName: node-b
          kind: EndpointSlice
          metadata:
            annotations:
              endpoints.kubernetes.io/last-change-trigger-time: "2025-05-04T09:12:40Z"
            creationTimestamp: "2025-05-04T09:12:31Z"
            generateName: web-
            generation: 4
            labels:
              endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io
              kubernetes.io/service-name: web
            name: web-x7k2p
            namespace: shop
            ownerReferences:
            - apiVersion: v1
              blockOwnerDeletion: true
              controller: true
              kind: Service
              name: web
              uid: 5c1bd3f4-0e0c-4d0b-9d9e-8f5c2d6e1a70
            resourceVersion: "48290"
            uid: d1f6a6f0-7a52-4a6e-8d83-5c2e4f1e3c11
          ports:
          - appProtocol: http
            name: http
            port: 8080
            protocol: TCP
        - apiVersion: v1
          kind: Pod
          metadata:
            creationTimestamp: "2025-05-04T09:12:33Z"
            generateName: web-6d4cf56db6-
            labels:
              app: web
              pod-template-hash: 6d4cf56db6
            name: web-6d4cf56db6-abcde
            namespace: shop
            ownerReferences:
            - apiVersion: apps/v1
              kind: ReplicaSet
              name: web-6d4cf56db6
              uid: 3f9f0c07-0f4b-4f7c-9a3e-7a1c7b9c6f21
            resourceVersion: "48280"
            uid: 0b0c8f7e-2a6b-4a57-9c3a-0d2d5f7f2f11
          spec:
            containers:
            - args: ["--port=8080"]
              env:
              - name: POD_IP
                valueFrom:
                  fieldRef:
                    apiVersion: v1
                    fieldPath: status.podIP
              image: registry.example/web:1.2
              livenessProbe:
                httpGet: { path: /healthz, port: http, scheme: HTTP }
              name: web
              ports:
              - containerPort: 8080
                name: http
                protocol: TCP
              resources:
                limits: { cpu: "1", memory: 128Mi }
              volumeMounts:
              - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
                name: kube-api-access-7xk2p
                readOnly: true
            dnsPolicy: ClusterFirst
            enableServiceLinks: true
            nodeName: node-a
            restartPolicy: Always
            serviceAccount: web
            serviceAccountName: web
            terminationGracePeriodSeconds: 30
            tolerations:
            - effect: NoExecute
              key: node.kubernetes.io/not-ready
              operator: Exists
              tolerationSeconds: 300
          status:
            conditions:
            - lastProbeTime: null
              lastTransitionTime: "2025-05-04T09:12:39Z"
              status: "True"
              type: Ready
            containerStatuses:
            - name: web
              ready: true
              restartCount: 0
            hostIP: 192.0.2.1
            phase: Running
            podIP: 10.244.1.5
            podIPs:
            - ip: 10.244.1.5
            - ip: fd00:10:244:1::5
            qosClass: Burstable
            startTime: "2025-05-04T09:12:33Z"
        - apiVersion: v1
          kind: Namespace
          metadata:
            creationTimestamp: "2025-05-04T09:12:00Z"
            labels:
              kubernetes.io/metadata.name: shop
            name: shop
            resourceVersion: "48000"
            uid: 9a1e6a2e-44d0-4a5c-a5c9-8a1d6c7a9c01
          spec:
            finalizers:
            - kubernetes
          status:
            phase: Active
        kind: List
        metadata:
          resourceVersion: ""
        """

    @Test("works as it is")
    func list() throws {
        let outcome = try load(Self.list)
        #expect(outcome.errors.map(\.description) == [])
        let snapshot = try #require(outcome.snapshot)
        let service = try snapshot.service("shop", "web")
        #expect(service.addresses.map(\.description) == ["10.96.11.7", "fd00:10:96::b07", "192.0.2.10"])
        let port = try #require(service.ports.first)
        // The slice's endpoint and the Pod are one; the Pod's IPv6 address comes by the selector.
        #expect(places(port.endpoints) == ["10.244.1.5:8080", "10.244.2.9:8080", "fd00:10:244:1::5:8080"])
        #expect(port.endpoints.map(\.isDraining) == [false, true, false])
        #expect(port.endpoints.map { $0.workload?.name } == ["web-6d4cf56db6-abcde", nil, "web-6d4cf56db6-abcde"])

        let pod = try snapshot.workload("shop", "web-6d4cf56db6-abcde")
        #expect(pod.serviceAccount == "web")
        #expect(pod.node == "node-a" && pod.isLocal && pod.cgroup == nil)
        #expect(pod.addresses.map(\.description) == ["10.244.1.5", "fd00:10:244:1::5"])
        #expect(outcome.status(.endpointSlice, "shop", "web-x7k2p")?[.accepted]?.observedGeneration == 4)
        #expect(outcome.status(.service, "shop", "web")?.source == SourceLocation(file: "mesh.yaml", line: 3))
        #expect(outcome.statuses.count == 4)
        #expect(outcome.statuses.allSatisfy { $0[.accepted]?.status == .yes && $0[.resolvedRefs]?.status == .yes })
    }

    @Test("as JSON works too")
    func json() throws {
        let text = """
            {
            \t"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""},
            \t"items": [
            \t\t{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop",
            \t\t "annotations": {"a": "\\u003cb\\u003e \\/ \\"c\\""}},
            \t\t "spec": {"clusterIP": "None", "ports": [{"port": 80, "targetPort": 8080}]}}
            \t]
            }
            """
        let service = try snapshot(text).service("shop", "web")
        #expect(service.addresses == [])
        #expect(service.ports.map(\.port) == [80])
    }

    @Test("a Pod that has ended is no workload, and its address may be another's")
    func finishedPod() throws {
        let pod = """
            apiVersion: v1
            kind: Pod
            metadata: { name: NAME, namespace: shop, labels: { app: job } }
            spec: { nodeName: node-a }
            status: { phase: PHASE, podIP: 10.1.0.1 }

            """
        let text = ["Succeeded", "Failed", "Running"].map {
            pod.replacing("NAME", with: $0.lowercased()).replacing("PHASE", with: $0)
        }
        #expect(try snapshot(text.joined(separator: "---\n")).workloads.keys.map(\.name) == ["running"])
    }

    @Test("Pods that are not ready are no endpoints; those that are being deleted drain")
    func podStates() throws {
        func pod(_ name: String, _ address: String, deleted: Bool, ready: String) -> String {
            """
            apiVersion: v1
            kind: Pod
            metadata:
              name: \(name)
              namespace: shop
              labels: { app: web }
              annotations: { weft.dev/weight: "7", weft.dev/cgroup: /kubepods.slice/\(name) }
              \(deleted ? "deletionTimestamp: 2025-05-04T09:12:31Z" : "")
            spec: { nodeName: node-a }
            status: { phase: Running, podIP: \(address), conditions: [{ type: Ready, status: "\(ready)" }] }
            ---

            """
        }
        let service = """
            apiVersion: v1
            kind: Service
            metadata: { name: web, namespace: shop }
            spec: { clusterIP: 127.96.0.10, selector: { app: web }, ports: [{ port: 80 }] }
            """
        let text =
            pod("a", "10.1.0.1", deleted: false, ready: "True") + pod("b", "10.1.0.2", deleted: false, ready: "False")
            + pod("c", "10.1.0.3", deleted: true, ready: "True") + pod("d", "10.1.0.4", deleted: true, ready: "False")
        let snapshot = try snapshot(text + service)
        let endpoints = try #require(snapshot.service("shop", "web").ports.first).endpoints
        #expect(places(endpoints) == ["10.1.0.1:80", "10.1.0.3:80"])
        #expect(endpoints.map(\.isDraining) == [false, true])
        #expect(endpoints.map(\.weight) == [7, 7])
        #expect(try snapshot.workload("shop", "a").cgroup == "/kubepods.slice/a")
    }

    @Test("has policies of identity, tokens and connections in it, which mean what they say")
    func security() throws {
        let outcome = try load(SecurityManifests.list)
        #expect(outcome.errors.map(\.description) == [])
        let mesh = try #require(outcome.snapshot)
        let pod = try mesh.workload("shop", "web-6d4cf56db6-abcde")
        #expect(pod.takesTunnel && !pod.isLocal)
        #expect(pod.mutualTLS == .strict)
        #expect(pod.requestPorts == [8080])
        #expect(pod.namedPorts.map(\.name) == ["http", "grpc"])
        #expect(mesh.namespaceLabels["shop"]?["istio.io/dataplane-mode"] == "ambient")
        #expect(
            try mesh.policy("shop", "web").rules.first?.operations.first?.paths == [
                .template([.literal("items"), .one])
            ])
        #expect(mesh.requestAuthentications.values.first?.rules.first?.forwardsToken == true)
        #expect(
            mesh.networkPolicies.values.first?.ingress?.first?.ports == [.init(transport: .tcp, port: .name("http"))])
        let issues = outcome.statuses.flatMap(\.allConditions).filter { $0.type != .programmed && $0.status != .yes }
        #expect(issues == [])
        #expect(outcome.status(.networkPolicy, "shop", "web")?[.programmed]?.status == .unknown)
    }
}
