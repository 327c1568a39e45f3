package krpc

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func fromString(s string) (id ID) {
	copy(id[:], s)
	return id
}

var (
	idA = fromString("abcdefghij0123456789")
	idB = fromString("mnopqrstuvwxyz123456")
)

// The examples of BEP 5, and what the others add to them.
func TestMessagesOfTheSpecs(t *testing.T) {
	filter := &Filter{1, 255: 2}
	for _, c := range []struct {
		name, wire string
		want       Message
	}{
		{"ping", "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
			Message{Kind: Query, Method: Ping, ID: idA}},
		{"ping's answer", "d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
			Message{Kind: Response, ID: idB}},
		{"find_node", "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
			Message{Kind: Query, Method: FindNode, ID: idA, Target: idB, HasTarget: true}},
		{"get_peers", "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
			Message{Kind: Query, Method: GetPeers, ID: idA, Target: idB, HasTarget: true}},
		{"get_peers' answer", "d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
			Message{Kind: Response, ID: idA, Token: []byte("aoeusnth"), HasValues: true, Values: []byte("6:axje.u6:idhtnm")}},
		{"announce_peer", "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
			Message{Kind: Query, Method: AnnouncePeer, ID: idA, Target: idB, HasTarget: true, ImpliedPort: true, Port: 6881, Token: []byte("aoeusnth")}},
		{"an error", "d1:eli201e24:A Generic Error Occurrede1:t2:aa1:y1:ee",
			Message{Kind: Error, Code: GenericError, Text: []byte("A Generic Error Occurred")}},
		{"want (BEP 32)", "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:find_node1:t2:aa1:y1:qe",
			Message{Kind: Query, Method: FindNode, ID: idA, Target: idB, HasTarget: true, HasWant: true, Want4: true, Want6: true}},
		{"filters (BEP 33)", "d1:rd4:BFpe256:" + string(filter[:]) + "4:BFsd256:" + string(filter[:]) + "2:id20:abcdefghij0123456789e1:t2:aa1:y1:re",
			Message{Kind: Response, ID: idA, PeerFilter: filter, SeedFilter: filter}},
		{"ip (BEP 42)", "d2:ip6:\x01\x02\x03\x04\x1a\xe11:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re",
			Message{Kind: Response, ID: idA, IP: netip.MustParseAddrPort("1.2.3.4:6881")}},
		{"read-only (BEP 43)", "d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:v4:SH\x00\x011:y1:qe",
			Message{Kind: Query, Method: Ping, ID: idA, ReadOnly: true, Version: []byte("SH\x00\x01")}},
		{"put (BEP 44)", "d1:ad3:casi3e2:id20:abcdefghij01234567891:k32:" + strings.Repeat("k", 32) + "4:salt1:s3:seqi4e3:sig64:" + strings.Repeat("s", 64) +
			"5:token1:t1:vd2:ih1:xee1:q3:put1:t2:aa1:y1:qe",
			Message{Kind: Query, Method: Put, ID: idA, HasCAS: true, CAS: 3, Key: bytes.Repeat([]byte("k"), 32), Salt: []byte("s"), HasSeq: true, Seq: 4,
				Sig: bytes.Repeat([]byte("s"), 64), Token: []byte("t"), Value: []byte("d2:ih1:xe")}},
		{"sample_infohashes' answer (BEP 51)", "d1:rd2:id20:abcdefghij01234567898:intervali600e3:numi7e7:samples20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
			Message{Kind: Response, ID: idA, HasSamples: true, Interval: 600, Num: 7, Samples: idB[:]}},
		{"a method of the future", "d1:ad2:id20:abcdefghij0123456789e1:q5:dance1:t2:aa1:y1:qe",
			Message{Kind: Query, Name: []byte("dance"), ID: idA}},
	} {
		var got Message
		if err := Decode([]byte(c.wire), &got); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		c.want.TID = []byte("aa")
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
		if wire := got.Append(nil); string(wire) != c.wire {
			t.Errorf("%s: encoded as\n%q, not\n%q", c.name, wire, c.wire)
		}
	}
}

func TestHostileMessages(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		want       error
	}{
		{"nothing", "", ErrSyntax},
		{"a list", "le", ErrSyntax},
		{"cut off", "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:q", ErrSyntax},
		{"no kind", "d1:t2:aae", ErrSyntax},
		{"a kind of two letters", "d1:t2:aa1:y2:qqe", ErrSyntax},
		{"no transaction", "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe", ErrTID},
		{"a long transaction", "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t33:" + strings.Repeat("t", 33) + "1:y1:qe", ErrTID},
		{"a short id", "d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe", ErrID},
		{"an id that is a number", "d1:ad2:idi7ee1:q4:ping1:t2:aa1:y1:qe", ErrID},
		{"arguments that are a list", "d1:ale1:q4:ping1:t2:aa1:y1:qe", ErrID},
		{"arguments of an answer", "d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:re", ErrID},
		{"a key twice", "d1:t2:aa1:t2:aae", ErrSyntax},
		{"depth", strings.Repeat("l", 100) + strings.Repeat("e", 100), ErrSyntax},
	} {
		if err := Decode([]byte(c.wire), new(Message)); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// What is of the wrong type or size counts as absent.
	var m Message
	wire := "d2:ip5:abcde1:rd4:BFsd3:abc2:id20:abcdefghij01234567891:k2:kk5:nodes25:" + strings.Repeat("n", 25) +
		"6:nodes6i3e7:samples21:" + strings.Repeat("s", 21) + "3:seq1:x3:sigle5:tokend1:ai1ee6:values3:abce1:t2:aa1:y1:re"
	if err := Decode([]byte(wire), &m); err != nil {
		t.Fatal(err)
	}
	if want := (Message{Kind: Response, TID: []byte("aa"), ID: idA}); !reflect.DeepEqual(m, want) {
		t.Errorf("%+v", m)
	}
}

func TestCompactNodesAndPeers(t *testing.T) {
	four, six := netip.MustParseAddrPort("1.2.3.4:5"), netip.MustParseAddrPort("[2001:db8::1]:6")
	nodes4 := AppendNode(nil, Node{idA, four})
	nodes6 := AppendNode(nil, Node{idB, six})
	if got := slices.Collect(EachNode(nodes4, false)); len(got) != 1 || got[0] != (Node{idA, four}) {
		t.Errorf("%v", got)
	}
	if got := slices.Collect(EachNode(nodes6, true)); len(got) != 1 || got[0] != (Node{idB, six}) {
		t.Errorf("%v", got)
	}
	mapped := append(append(idA[:len(idA):len(idA)], netip.MustParseAddr("::ffff:1.2.3.4").AsSlice()...), 0, 5)
	if got := slices.Collect(EachNode(mapped, true)); len(got) != 0 {
		t.Errorf("a mapped address: %v", got)
	}
	m := Message{Values: append(AppendPeer(AppendPeer(nil, four), six), "3:abci7e6:123456"...)}
	if got := slices.Collect(m.EachPeer()); len(got) != 3 || got[0] != four || got[1] != six {
		t.Errorf("%v", got)
	}
}

// FuzzMessage decodes, encodes and decodes again: nothing that was understood is lost.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe"))
	f.Add([]byte("d2:ip6:abcdef1:rd2:id20:abcdefghij01234567895:nodes0:5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:v4:abcd1:y1:re"))
	f.Add([]byte("d1:eli203e3:abce1:t1:x1:y1:ee"))
	f.Add([]byte("d1:ad3:casi3e2:id20:abcdefghij01234567891:k32:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk3:seqi4e5:token1:t1:vd2:ih1:xee1:q3:put1:t2:aa1:y1:qe"))
	f.Add([]byte("d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q17:sample_infohashes1:t2:aa1:y1:qe"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if Decode(b, &m) != nil {
			return
		}
		for range m.EachPeer() {
		}
		wire := m.Append(nil)
		if err := Decode(wire, &again); err != nil {
			t.Fatalf("%q became %q: %v", b, wire, err)
		}
		if twice := again.Append(nil); !bytes.Equal(wire, twice) {
			t.Fatalf("%q became %q, then %q", b, wire, twice)
		}
	})
}

func TestDecodingAndEncodingAllocatesNothing(t *testing.T) {
	wire := []byte("d2:ip6:abcdef1:rd2:id20:abcdefghij01234567895:nodes26:abcdefghijklmnopqrstuvwxyz5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:v4:abcd1:y1:re")
	var m Message
	buf := make([]byte, 0, 1500)
	n := testing.AllocsPerRun(100, func() {
		if Decode(wire, &m) != nil {
			t.Fatal("not decoded")
		}
		for range EachNode(m.Nodes, false) {
		}
		for range m.EachPeer() {
		}
		buf = m.Append(buf[:0])
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	wire := []byte("d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:v4:LT\x01\x021:y1:qe")
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if Decode(wire, &m) != nil {
			b.Fatal("not decoded")
		}
	}
}
