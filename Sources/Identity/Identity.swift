// Certificates of workloads: who issues them, when they are renewed, and what peers' are checked against.
