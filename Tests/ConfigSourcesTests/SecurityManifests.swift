/// Most fields of every kind that speaks of identity, tokens and connections.
enum SecurityManifests {
    static let everything =
        HTTPMesh.object(
            "security.istio.io/v1", "AuthorizationPolicy", "deny",
            """
            { selector: { matchLabels: { app: web } }, action: DENY, rules: [
              { from: [{ source: { principals: ["spiffe://a/*"], requestPrincipals: ["*"], remoteIpBlocks: [10.0.0.0/8] } }] }] }
            """)
        + HTTPMesh.object(
            "security.istio.io/v1", "AuthorizationPolicy", "custom",
            """
            { targetRefs: [{ group: "", kind: Service, name: web }], action: CUSTOM, provider: { name: ext }, rules: [
              { to: [{ operation: { hosts: ["*.a"], methods: [GET], paths: ["/a/{*}/{**}", "/b*"], ports: ["80"] } }],
                when: [{ key: "request.headers[x]", values: [a] }, { key: connection.sni, notValues: ["*"] },
                       { key: remote.ip, values: ["::/0"] }] }] }
            """)
        + HTTPMesh.object(
            "security.istio.io/v1beta1", "PeerAuthentication", "own",
            "{ selector: { matchLabels: { app: web } }, mtls: { mode: UNSET }, portLevelMtls: { 80: { mode: STRICT } } }"
        )
        + HTTPMesh.object(
            "security.istio.io/v1", "RequestAuthentication", "jwt",
            """
            { jwtRules: [{ issuer: a, audiences: [b], jwks: '{"keys": [{"kty": "RSA", "e": "AQAB"}]}', timeout: 5s,
                fromHeaders: [{ name: a, prefix: "b " }], fromParams: [a], fromCookies: [a], forwardOriginalToken: true,
                outputPayloadToHeader: a, outputClaimToHeaders: [{ header: a, claim: b.c }] },
                         { issuer: b, jwksUri: "https://[::1]:443/keys" }] }
            """)
        + HTTPMesh.object(
            "networking.k8s.io/v1", "NetworkPolicy", "np",
            """
            { podSelector: { matchExpressions: [{ key: a, operator: In, values: [b] }] }, policyTypes: [Ingress, Egress],
              ingress: [{ from: [{ namespaceSelector: {} }], ports: [{ port: 1, endPort: 2 }, { protocol: SCTP }] }],
              egress: [{ to: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/16] } }] }] }
            """)
        + ExtensionProviderTests.provider(
            "ext",
            """
            { envoyExtAuthzHttp: { service: a/b.a.svc, port: 1, timeout: 1s, pathPrefix: /a, statusOnError: "503",
                includeAdditionalHeadersInCheck: { a: b }, headersToUpstreamOnAllow: ["a*"] } }
            """)

    /// `kubectl get authorizationpolicies,peerauthentications,requestauthentications,networkpolicies,pods,ns -o yaml`.
    static let list = """
        apiVersion: v1
        items:
        - apiVersion: security.istio.io/v1
          kind: AuthorizationPolicy
          metadata:
            annotations:
              kubectl.kubernetes.io/last-applied-configuration: |
                {"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"web"}}
            creationTimestamp: "2025-05-04T09:12:31Z"
            generation: 3
            managedFields:
            - apiVersion: security.istio.io/v1
              fieldsType: FieldsV1
              fieldsV1:
                f:spec:
                  f:rules: {}
              manager: kubectl-client-side-apply
              operation: Update
              time: "2025-05-04T09:12:31Z"
            name: web
            namespace: shop
            resourceVersion: "48211"
            uid: 5c1bd3f4-0e0c-4d0b-9d9e-8f5c2d6e1a70
          spec:
            action: ALLOW
            rules:
            - from:
              - source:
                  requestPrincipals:
                  - '*'
              to:
              - operation:
                  methods:
                  - GET
                  paths:
                  - /items/{*}
            selector:
              matchLabels:
                app: web
          status:
            conditions:
            - lastTransitionTime: "2025-05-04T09:12:32Z"
              message: attached to ztunnel
              reason: Accepted
              status: "True"
              type: ZtunnelAccepted
        - apiVersion: security.istio.io/v1
          kind: PeerAuthentication
          metadata:
            creationTimestamp: "2025-05-04T09:12:31Z"
            generation: 1
            managedFields: [{ manager: istioctl, operation: Update, fieldsV1: { "f:spec": {} } }]
            name: default
            namespace: istio-system
            resourceVersion: "1"
            uid: 0b0c8f7e-2a6b-4a57-9c3a-0d2d5f7f2f12
          spec:
            mtls:
              mode: STRICT
          status: {}
        - apiVersion: security.istio.io/v1
          kind: RequestAuthentication
          metadata:
            generation: 1
            managedFields: []
            name: jwt
            namespace: shop
          spec:
            jwtRules:
            - forwardOriginalToken: true
              issuer: testing@secure.istio.io
              jwksUri: https://raw.example.com/jwks.json
            selector:
              matchLabels:
                app: web
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata:
            generation: 1
            managedFields: []
            name: web
            namespace: shop
          spec:
            ingress:
            - from:
              - namespaceSelector:
                  matchLabels:
                    kubernetes.io/metadata.name: ops
              ports:
              - port: http
                protocol: TCP
            podSelector:
              matchLabels:
                app: web
            policyTypes:
            - Ingress
        - apiVersion: v1
          kind: Pod
          metadata:
            annotations:
              ambient.istio.io/redirection: enabled
              kubernetes.io/config.source: api
            labels:
              app: web
              pod-template-hash: 6d4cf56db6
            managedFields: []
            name: web-6d4cf56db6-abcde
            namespace: shop
          spec:
            containers:
            - image: registry.k8s.io/e2e-test-images/agnhost:2.45
              name: web
              ports:
              - containerPort: 8080
                name: http
                protocol: TCP
              - containerPort: 9090
                name: grpc
                protocol: TCP
            nodeName: node-b
            serviceAccountName: web
          status:
            phase: Running
            podIP: 10.244.2.9
            podIPs:
            - ip: 10.244.2.9
        - apiVersion: v1
          kind: Namespace
          metadata:
            labels:
              istio.io/dataplane-mode: ambient
              kubernetes.io/metadata.name: shop
            managedFields: []
            name: shop
          spec:
            finalizers:
            - kubernetes
          status:
            phase: Active
        kind: List
        metadata:
          resourceVersion: ""

        """
}
