package utp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

func TestPacket(t *testing.T) {
	h := header{kind: kindState, id: 0x1234, time: 0x56789abc, diff: 0xdef01234, window: 0x56789abc, seq: 0xdef0, ack: 0x4321}
	b := make([]byte, headerLen)
	h.put(b, extSack)
	b = append(b, extBits, 4, 1, 2, 3, 4, 9, 8, 's', 'h', 'o', 'a', 0, 0, 5, 0xdc, extBits, 3, 7, 7, 7, extEnd, 8, 0, 0, 0, 0, 0, 0, 0, 9, 'x', 'y')
	if want := "21011234" + "56789abc" + "def01234" + "56789abc" + "def04321"; hex(b[:headerLen]) != want {
		t.Errorf("%s, want %s", hex(b[:headerLen]), want)
	}
	var p packet
	if !parse(b, &p) || p.header != h || !bytes.Equal(p.sack, []byte{1, 2, 3, 4}) || p.largest != 1500 || string(p.payload) != "xy" || p.size != len(b) {
		t.Errorf("%+v", p)
	}
}

func hex(b []byte) string {
	const digits = "0123456789abcdef"
	var s []byte
	for _, c := range b {
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(s)
}

func TestPacketsOfOthers(t *testing.T) {
	syn := make([]byte, headerLen)
	syn[0] = 0x41
	for name, b := range map[string][]byte{
		"empty":           {},
		"short":           syn[:headerLen-1],
		"DHT":             []byte("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"),
		"tracker":         append([]byte{0, 0, 0, 1}, make([]byte, 30)...),
		"version 0":       append([]byte{0x40}, syn[1:]...),
		"type 5":          append([]byte{0x51}, syn[1:]...),
		"no extension":    append([]byte{0x41, 1}, syn[2:]...),
		"cut extension":   append(append([]byte{0x41, 1}, syn[2:]...), 0, 4, 1, 2, 3),
		"cut second one":  append(append([]byte{0x41, 1}, syn[2:]...), 2, 1, 9, 0),
		"endless, of two": append(append([]byte{0x41, 7}, syn[2:]...), 7, 0, 7, 0, 7),
	} {
		if parse(b, &packet{}) {
			t.Error(name, "is taken for one of uTP")
		}
	}
	if !parse(syn, &packet{}) {
		t.Error("a SYN is not")
	}
}

// FuzzPacket: what is parsed can be written and parsed again, and points nowhere else.
func FuzzPacket(f *testing.F) {
	o := newOutput(netip.AddrPort{})
	m := dial(time.Second, 1, 2, maxDatagram)
	m.send(time.Second, o)
	f.Add(bytes.Clone(o.packets[0].Data))
	f.Add([]byte{0x21, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 2, 4, 1, 2, 3, 4, 0, 8, 's', 'h', 'o', 'a', 0, 0, 5, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p packet
		if !parse(b, &p) {
			return
		}
		if len(p.payload)+headerLen > len(b) || p.largest > maxDatagram || p.largest < 0 || len(p.sack) > 255 {
			t.Errorf("%+v of %d bytes", p, len(b))
		}
		again := make([]byte, headerLen, len(b))
		p.put(again, extEnd)
		var q packet
		if !parse(append(again, p.payload...), &q) || q.header != p.header || !bytes.Equal(q.payload, p.payload) {
			t.Errorf("%+v, then %+v", p, q)
		}
	})
}

// FuzzMachine gives a connection any packets, times and calls, and sees whether it contradicts itself.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add([]byte("\x00\x10\x02\x30\x01\x00\x05\x20\x11\x03\x00\x01\x00\x04\x02"), false)
	f.Add(bytes.Repeat([]byte{2, 0xff, 1, 5, 0, 9, 1, 1, 40, 3, 200}, 20), true)
	f.Fuzz(func(t *testing.T, script []byte, dialled bool) {
		now := time.Second
		m := dial(now, 1, 65530, maxDatagram)
		if !dialled {
			m = answer(now, 1, 65530, 65500, maxDatagram)
			m.path.peer = maxDatagram
		}
		next := func() int {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return int(b)
		}
		for len(script) > 0 {
			switch next() % 6 {
			case 0: // a packet that may well be of this connection
				p := packet{header: header{kind: kind(next() % int(kinds)), time: uint32(next() << 12), diff: uint32(next() << 10),
					window: uint32(next() << 10), seq: m.got + uint16(next()-8), ack: m.flight.first - 1 + uint16(next()-4)}}
				if n := next(); n < 40 {
					p.sack = bytes.Repeat([]byte{byte(next())}, n)
				}
				p.payload = make([]byte, next()*20)
				p.size = headerLen + len(p.payload)
				p.largest = next() << 8
				m.receive(now, &p)
			case 1:
				if n := min(next()*100, m.writable()); n > 0 && !m.fin && m.status != dead {
					m.write(make([]byte, n))
				}
			case 2:
				now += time.Duration(next()*next()) * time.Millisecond
			case 3:
				m.read(now, make([]byte, next()*100))
			case 4:
				switch next() {
				case 7:
					m.endWrite()
				case 8:
					m.close(now)
				}
			case 5:
				now = max(now, min(m.deadline(), now+time.Hour))
				m.expire(now)
			}
			for range 1000 {
				o := newOutput(netip.AddrPort{})
				m.send(now, o)
				n := len(o.packets)
				for i := range o.packets {
					for d := range o.packets[i].Datagrams {
						if !parse(d, &packet{}) || len(d) > maxDatagram {
							t.Fatalf("it sends %x", d)
						}
					}
				}
				o.free()
				if err := m.check(); err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
			}
			if m.deadline() < now {
				m.expire(now)
			}
		}
	})
}
