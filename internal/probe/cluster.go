package probe

import "slices"

// Cluster is what an address says it is part of.
type Cluster struct {
	// Name is what it is called and what kind it is, such as
	// "replica set rs0".
	Name string
	// Members are the names or ids of the members as this one knows them.
	// Empty: they cannot be told, and the name decides alone.
	Members []string
}

// Same says whether both are one cluster: by name, and because they know a
// member in common. Many a cluster has the name that an example gave it, and
// two members may know different lists while one is being changed.
func (c Cluster) Same(other Cluster) bool {
	if c.Name != other.Name {
		return false
	}
	if len(c.Members) == 0 || len(other.Members) == 0 {
		return true
	}
	return slices.ContainsFunc(c.Members, func(m string) bool { return slices.Contains(other.Members, m) })
}

// Belongs notes what the session's address is part of. When all addresses of a
// target have been tested, the Runner holds those that said so against the one
// that the report is about: a target whose addresses belong to different
// clusters is not ok (topology_mismatch).
func (s *Session) Belongs(c Cluster) {
	c.Name = s.printable(c.Name) // it comes from the other side
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()
	s.trace.cluster = &c
}

// part is what one address of the target said.
type part struct {
	address Address
	cluster *Cluster
}

// compare finds the addresses that are no part of the cluster that the report
// is about, which is that of the address at index best. The fact
// does_not_belong names the first of them.
func compare(report *Report, results []AddressResult, parts []part, best int) {
	reference := parts[best].cluster
	if reference == nil || !report.OK() {
		return
	}
	for i, p := range parts {
		if p.cluster == nil || reference.Same(*p.cluster) {
			continue
		}
		if report.OK() {
			report.fail(PhaseTopology, CodeTopologyMismatch)
			report.Evidence.setFact("cluster", reference.Name)
			report.Evidence.setFact("does_not_belong", p.address.String()+" ("+p.cluster.Name+")")
		}
		if results[i].Code == CodeOK {
			results[i].Code = CodeTopologyMismatch
		}
	}
}

// fail makes a report that was good fail in the phase p.
func (r *Report) fail(p Phase, code Code) {
	r.Code, r.Phase = code, p
	for i := range r.Phases {
		if r.Phases[i].Phase == p {
			r.Phases[i].State, r.Phases[i].Code = Failed, code
		}
	}
}
