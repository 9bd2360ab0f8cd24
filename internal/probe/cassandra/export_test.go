package cassandra

// NewSpeaking makes a Prober that begins with the given version.
func NewSpeaking(version byte) *Prober {
	p := New(Config{})
	p.version = version
	return p
}
