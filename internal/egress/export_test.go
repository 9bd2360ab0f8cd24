package egress

// AskAt lets a test have its DNS server on a port of its own.
func (p *Policy) AskAt(port uint16) { p.cfg.DNSPort = port }
