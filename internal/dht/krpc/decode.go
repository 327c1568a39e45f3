package krpc

import (
	"encoding/binary"
	"net/netip"

	"shoal/internal/bencode"
)

// Decode reads a datagram into m. Members of the wrong type or length count as absent, but for those without which a message is of
// no use. Bytes after the message are ignored.
func Decode(b []byte, m *Message) error {
	*m = Message{}
	top, _, err := bencode.ParsePrefix(b)
	if err != nil || top.Kind() != bencode.Dict {
		return ErrSyntax
	}
	var arguments, results, failure bencode.Value
	for key, v := range top.Dict() {
		switch key {
		case "a":
			arguments = v
		case "r":
			results = v
		case "e":
			failure = v
		case "ip":
			m.IP = address(v)
		case "q":
			m.method(v)
		case "ro":
			m.ReadOnly = flag(v)
		case "t":
			m.TID, _ = v.Bytes()
		case "v":
			m.Version, _ = v.Bytes()
		case "y":
			if y, _ := v.Bytes(); len(y) == 1 {
				m.Kind = Kind(y[0])
			}
		}
	}
	if len(m.TID) == 0 || len(m.TID) > maxTID {
		return ErrTID
	}
	named := true
	switch m.Kind {
	case Query:
		named = m.body(arguments)
	case Response:
		named = m.body(results)
	case Error:
		m.failure(failure)
	default:
		return ErrSyntax
	}
	if !named {
		return ErrID
	}
	return nil
}

func (m *Message) method(v bencode.Value) {
	name, _ := v.Bytes()
	m.Method = methodOf(name)
	if m.Method == Unknown {
		m.Name = name
	}
}

func methodOf(name []byte) Method {
	for i, n := range methodNames {
		if i > 0 && n == string(name) {
			return Method(i)
		}
	}
	return Unknown
}

// failure reads [code, text].
func (m *Message) failure(v bencode.Value) {
	for item := range v.List() {
		switch item.Kind() {
		case bencode.Int:
			m.Code, _ = item.Int()
		case bencode.String:
			m.Text, _ = item.Bytes()
			return
		}
	}
}

// body reads arguments or results and reports whether the sender's id is among them.
func (m *Message) body(d bencode.Value) (named bool) {
	for key, v := range d.Dict() {
		switch key {
		case "id":
			named = id(v, &m.ID)
		case "target", "info_hash":
			m.HasTarget = id(v, &m.Target) || m.HasTarget
		case "token":
			m.Token, _ = v.Bytes()
		case "port":
			if n, ok := v.Int(); ok && n > 0 && n < 1<<16 {
				m.Port = uint16(n)
			}
		case "implied_port":
			m.ImpliedPort = flag(v)
		case "seed":
			m.Seed = flag(v)
		case "noseed":
			m.NoSeed = flag(v)
		case "scrape":
			m.Scrape = flag(v)
		case "want":
			m.want(v)
		case "nodes":
			m.Nodes = multiple(v, nodeLen4)
		case "nodes6":
			m.Nodes6 = multiple(v, nodeLen6)
		case "values":
			if v.Kind() == bencode.List {
				raw := v.Raw()
				m.Values, m.HasValues = raw[1:len(raw)-1], true
			}
		case "BFsd":
			m.SeedFilter = filter(v)
		case "BFpe":
			m.PeerFilter = filter(v)
		default:
			m.item(key, v)
		}
	}
	return named
}

// item reads what BEP 44 and 51 add.
func (m *Message) item(key string, v bencode.Value) {
	switch key {
	case "v":
		m.Value = v.Raw()
	case "k":
		m.Key = exactly(v, 32)
	case "sig":
		m.Sig = exactly(v, 64)
	case "salt":
		m.Salt, _ = v.Bytes()
	case "seq":
		m.Seq, m.HasSeq = v.Int()
	case "cas":
		m.CAS, m.HasCAS = v.Int()
	case "samples":
		if s, ok := v.Bytes(); ok && len(s)%len(ID{}) == 0 {
			m.Samples, m.HasSamples = s, true
		}
	case "interval":
		m.Interval, _ = v.Int()
	case "num":
		m.Num, _ = v.Int()
	}
}

func (m *Message) want(v bencode.Value) {
	for item := range v.List() {
		switch s, _ := item.Bytes(); string(s) {
		case "n4":
			m.Want4 = true
		case "n6":
			m.Want6 = true
		}
	}
	m.HasWant = m.Want4 || m.Want6 // other strings are for the future
}

func id(v bencode.Value, dst *ID) bool {
	b, _ := v.Bytes()
	return len(b) == len(dst) && copy(dst[:], b) > 0
}

func flag(v bencode.Value) bool {
	n, _ := v.Int()
	return n == 1
}

func exactly(v bencode.Value, n int) []byte {
	if b, _ := v.Bytes(); len(b) == n {
		return b
	}
	return nil
}

func multiple(v bencode.Value, n int) []byte {
	if b, _ := v.Bytes(); len(b)%n == 0 {
		return b
	}
	return nil
}

func filter(v bencode.Value) *Filter {
	if b := exactly(v, len(Filter{})); b != nil {
		return (*Filter)(b)
	}
	return nil
}

func address(v bencode.Value) netip.AddrPort {
	b, _ := v.Bytes()
	a, _ := addrPort(b)
	return a
}

// addrPort reads a compact address of 6 or 18 bytes.
func addrPort(b []byte) (netip.AddrPort, bool) {
	var ip netip.Addr
	switch len(b) {
	case peerLen4:
		ip = netip.AddrFrom4([4]byte(b))
	case peerLen6:
		ip = netip.AddrFrom16([16]byte(b)).Unmap()
	default:
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[len(b)-2:])), true
}
