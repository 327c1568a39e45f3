package netx

// plainTCP is what Host dials.
type plainTCP = stream
