package krpc

import "shoal/internal/bencode"

// Append appends the message. Its length is the caller's to keep within MaxMessage.
func (m *Message) Append(dst []byte) []byte {
	dst = append(dst, 'd')
	switch m.Kind {
	case Query:
		dst = append(dst, "1:ad"...)
		dst = m.appendArguments(dst)
		dst = append(dst, 'e')
	case Error:
		dst = append(dst, "1:el"...)
		dst = bencode.AppendInt(dst, m.Code)
		dst = bencode.AppendBytes(dst, m.Text)
		dst = append(dst, 'e')
	}
	if m.IP.IsValid() {
		dst = AppendPeer(append(dst, "2:ip"...), m.IP)
	}
	switch m.Kind {
	case Query:
		dst = append(dst, "1:q"...)
		if m.Method != Unknown {
			dst = bencode.AppendString(dst, m.Method.String())
		} else {
			dst = bencode.AppendBytes(dst, m.Name)
		}
	case Response:
		dst = append(dst, "1:rd"...)
		dst = m.appendResults(dst)
		dst = append(dst, 'e')
	}
	dst = appendFlag(dst, "2:ro", m.ReadOnly)
	dst = appendBytes(dst, "1:t", m.TID)
	dst = appendBytes(dst, "1:v", m.Version)
	return append(dst, '1', ':', 'y', '1', ':', byte(m.Kind), 'e')
}

// appendArguments appends what a query carries, in the order of the keys.
func (m *Message) appendArguments(dst []byte) []byte {
	dst = appendInt(dst, "3:cas", m.CAS, m.HasCAS)
	dst = appendBytes(dst, "2:id", m.ID[:])
	dst = appendFlag(dst, "12:implied_port", m.ImpliedPort)
	byHash := m.Method == GetPeers || m.Method == AnnouncePeer
	if byHash {
		dst = appendBytes(dst, "9:info_hash", m.Target[:])
	}
	dst = appendBytes(dst, "1:k", m.Key)
	dst = appendFlag(dst, "6:noseed", m.NoSeed)
	dst = appendInt(dst, "4:port", int64(m.Port), m.Method == AnnouncePeer || m.Port > 0)
	dst = appendBytes(dst, "4:salt", m.Salt)
	dst = appendFlag(dst, "6:scrape", m.Scrape)
	dst = appendFlag(dst, "4:seed", m.Seed)
	dst = appendInt(dst, "3:seq", m.Seq, m.HasSeq)
	dst = appendBytes(dst, "3:sig", m.Sig)
	if !byHash && (m.HasTarget || m.Method == FindNode || m.Method == Get || m.Method == SampleInfohashes) {
		dst = appendBytes(dst, "6:target", m.Target[:])
	}
	dst = appendBytes(dst, "5:token", m.Token)
	dst = appendRaw(dst, "1:v", m.Value)
	if m.HasWant {
		dst = append(dst, "4:wantl"...)
		if m.Want4 {
			dst = append(dst, "2:n4"...)
		}
		if m.Want6 {
			dst = append(dst, "2:n6"...)
		}
		dst = append(dst, 'e')
	}
	return dst
}

// appendResults appends what a response carries, in the order of the keys.
func (m *Message) appendResults(dst []byte) []byte {
	if m.PeerFilter != nil {
		dst = appendBytes(dst, "4:BFpe", m.PeerFilter[:])
	}
	if m.SeedFilter != nil {
		dst = appendBytes(dst, "4:BFsd", m.SeedFilter[:])
	}
	dst = appendBytes(dst, "2:id", m.ID[:])
	dst = appendInt(dst, "8:interval", m.Interval, m.HasSamples)
	dst = appendBytes(dst, "1:k", m.Key)
	dst = appendBytes(dst, "5:nodes", m.Nodes)
	dst = appendBytes(dst, "6:nodes6", m.Nodes6)
	dst = appendInt(dst, "3:num", m.Num, m.HasSamples)
	if m.HasSamples {
		dst = bencode.AppendBytes(append(dst, "7:samples"...), m.Samples)
	}
	dst = appendInt(dst, "3:seq", m.Seq, m.HasSeq)
	dst = appendBytes(dst, "3:sig", m.Sig)
	dst = appendBytes(dst, "5:token", m.Token)
	dst = appendRaw(dst, "1:v", m.Value)
	if m.HasValues {
		dst = append(dst, "6:valuesl"...)
		dst = append(dst, m.Values...)
		dst = append(dst, 'e')
	}
	return dst
}

// appendBytes appends an encoded key and a string, unless that is nil.
func appendBytes(dst []byte, key string, s []byte) []byte {
	if s == nil {
		return dst
	}
	return bencode.AppendBytes(append(dst, key...), s)
}

func appendInt(dst []byte, key string, n int64, has bool) []byte {
	if !has {
		return dst
	}
	return bencode.AppendInt(append(dst, key...), n)
}

func appendFlag(dst []byte, key string, set bool) []byte {
	if !set {
		return dst
	}
	return append(append(dst, key...), "i1e"...)
}

// appendRaw appends an encoded key and an encoded value, unless that is nil.
func appendRaw(dst []byte, key string, v []byte) []byte {
	if v == nil {
		return dst
	}
	return append(append(dst, key...), v...)
}
