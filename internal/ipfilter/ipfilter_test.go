package ipfilter

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// ranges lists what a filter blocks.
func (f *Filter) ranges() string {
	var s []string
	for _, r := range f.v4 {
		s = append(s, fmt.Sprintf("%v-%v", addrOf4(r.first), addrOf4(r.last)))
	}
	for _, r := range f.v6 {
		s = append(s, fmt.Sprintf("%v-%v", addrOf6(r.first), addrOf6(r.last)))
	}
	return strings.Join(s, " ")
}

func addrOf4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func addrOf6(a addr6) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(a.high>>(56-8*i)), byte(a.low>>(56-8*i))
	}
	return netip.AddrFrom16(b)
}

func TestParseLines(t *testing.T) {
	for line, want := range map[string]string{
		"Some organisation:1.2.3.4-5.6.7.8":                 "1.2.3.4-5.6.7.8",
		"a: name-with, colons: 10.0.0.1 - 10.0.0.2":         "10.0.0.1-10.0.0.2",
		":1.2.3.4-1.2.3.4":                                  "1.2.3.4-1.2.3.4",
		"padded:001.002.003.004-005.006.007.008":            "1.2.3.4-5.6.7.8",
		"single:1.2.3.4":                                    "bad",
		"prefix:1.2.3.4/24":                                 "1.2.3.0-1.2.3.255",
		"#1 of bad names:9.9.9.9-9.9.9.9":                   "", // a comment
		"1.1.1.1 of a name, 5:9.9.9.0-9.9.9.9":              "9.9.9.0-9.9.9.9",
		"8.8.8.8, a name:9.9.9.0-9.9.9.9":                   "9.9.9.0-9.9.9.9",
		"six:2001:db8::1-2001:db8::ff":                      "2001:db8::1-2001:db8::ff",
		"a:b:2001:db8::-2001:db8::ffff":                     "a:b:2001:db8::-2001:db8::ffff",
		"x b:c:2001:db8::-2001:db8::ffff":                   "2001:db8::-2001:db8::ffff",
		"name:2001::-2a00::":                                "2001::-2a00::",
		"name:::1-::2":                                      "::1-::2",
		"mapped:::ffff:1.2.3.4-::ffff:1.2.3.5":              "1.2.3.4-1.2.3.5",
		"000.000.000.000 - 000.255.255.255 , 000 , Bogon":   "0.0.0.0-0.255.255.255",
		"1.2.3.4 - 1.2.3.5 , 127 , blocked":                 "1.2.3.4-1.2.3.5",
		"1.2.3.4 - 1.2.3.5 , 128 , allowed":                 "",
		"1.2.3.4-1.2.3.5,100,a name, with: commas-and-more": "1.2.3.4-1.2.3.5",
		"1.2.3.4 - 1.2.3.5 , 100":                           "1.2.3.4-1.2.3.5",
		"2001:db8::1 - 2001:db8::2 , 0 , six":               "2001:db8::1-2001:db8::2",
		"1.2.3.0/24 , 100 , a prefix":                       "1.2.3.0-1.2.3.255",
		"1.2.3.4/0":                                         "0.0.0.0-255.255.255.255",
		"1.2.3.4/32":                                        "1.2.3.4-1.2.3.4",
		"1.2.3.4/31 ; SBL1":                                 "1.2.3.4-1.2.3.5",
		"2001:db8::/32 # doc":                               "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
		"::/0":                                              "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"::1":                                               "::1-::1",
		"fe80::1":                                           "fe80::1-fe80::1",
		"1.2.3.4":                                           "1.2.3.4-1.2.3.4",
		"\t1.2.3.4 - 1.2.3.9 \r":                            "1.2.3.4-1.2.3.9",
		"// 1.2.3.4":                                        "",
		"; 1.2.3.4":                                         "",
		"":                                                  "",
		"1.2.3.256":                                         "bad",
		"1.2.3":                                             "bad",
		"1.2.3.4.5":                                         "bad",
		"1.2.3.0004":                                        "bad",
		"1..3.4":                                            "bad",
		"-1.2.3.4":                                          "bad",
		"1.2.3.4-":                                          "bad",
		"1.2.3.9-1.2.3.4":                                   "bad",
		"name:1.2.3.9-1.2.3.4":                              "bad",
		"1.2.3.9 - 1.2.3.4 , 100 , reversed":                "bad",
		"1.2.3.4-2001:db8::1":                               "bad",
		"1.2.3.4/33":                                        "bad",
		"1.2.3.4/-1":                                        "bad",
		"1.2.3.4/":                                          "bad",
		"2001:db8::/129":                                    "bad",
		"six:2001:db8::9-2001:db8::1":                       "bad",
		"fe80::1%eth0":                                      "bad",
		"2001:db8::1::2":                                    "bad",
		"name only":                                         "bad",
		"name:":                                             "bad",
		"a,b,c":                                             "bad",
		"<html>":                                            "bad",
		"1.2.3.4 - 1.2.3.5 , level , name":                  "bad",
		"1.2.3.4\x00":                                       "bad",
		strings.Repeat("x", maxLine) + ":1.2.3.4-1.2.3.5":                           "bad",
		strings.Repeat("x", 200<<10) + ":1.2.3.4-1.2.3.5":                           "bad",
		strings.Repeat("x", maxLine-len(":1.2.3.4-1.2.3.5\n")) + ":1.2.3.4-1.2.3.5": "1.2.3.4-1.2.3.5",
	} {
		f, rep, err := Parse(strings.NewReader("255.255.255.255\n" + line + "\n::3"))
		if err != nil {
			t.Errorf("%.80q: %v", line, err)
			continue
		}
		got := strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(" "+f.ranges()+" ", " 255.255.255.255-255.255.255.255 ", " "), " ::3-::3 ", " "))
		if want == "bad" {
			if rep.Bad != 1 || got != "" || len(rep.First) != 1 || rep.First[0].Line != 2 || len(rep.First[0].Text) > maxQuote ||
				!strings.HasPrefix(line, rep.First[0].Text) || !strings.HasPrefix(rep.First[0].String(), "line 2: ") {
				t.Errorf("%.80q: %s, %+v", line, got, rep)
			}
			continue
		}
		switch line { // they touch the ranges around them
		case "1.2.3.4/0", "::/0":
			got = want
			if f.Len() != 2 {
				t.Errorf("%s: %s", line, f.ranges())
			}
		case "name:::1-::2":
			got = strings.ReplaceAll(got, "::3", "::2")
		}
		if got != want || rep.Bad != 0 || rep.Lines != 3 {
			t.Errorf("%.80q: %q, want %q; %+v", line, got, want, rep)
		}
	}
}

const mixed = "\xef\xbb\xbf# a list\nb:10.0.0.6-10.0.0.9\na:10.0.0.0-10.0.0.5\n10.0.0.3 - 10.0.0.20 , 100 , overlaps\n10.0.0.22\n" +
	"1.0.0.0/8\n2001:db8::/64\n2001:db8:0:1::/64\n2001:db8:0:3::/64\n2001:db8::5 - 2001:db8::6 , 1 , inside\n1.2.3.4 - 1.2.3.5 , 200 , allowed\nbad\n"

const joined = "1.0.0.0-1.255.255.255 10.0.0.0-10.0.0.20 10.0.0.22-10.0.0.22 2001:db8::-2001:db8:0:1:ffff:ffff:ffff:ffff 2001:db8:0:3::-2001:db8:0:3:ffff:ffff:ffff:ffff"

func TestParseJoins(t *testing.T) {
	f, rep, err := Parse(strings.NewReader(mixed))
	if err != nil || f.ranges() != joined || f.Len() != 5 {
		t.Errorf("%s, %v", f.ranges(), err)
	}
	if rep.Lines != 12 || rep.Bad != 1 || rep.Allowed != 1 || rep.First[0].String() != `line 12: neither a range, nor a prefix, nor an address: "bad"` {
		t.Errorf("%+v", rep)
	}
	for a, want := range map[string]bool{
		"0.255.255.255": false, "1.0.0.0": true, "1.200.0.1": true, "2.0.0.0": false, "10.0.0.20": true, "10.0.0.21": false, "10.0.0.22": true,
		"10.0.0.23": false, "::ffff:10.0.0.1": true, "255.255.255.255": false, "2001:db8::": true, "2001:db8::%eth0": true,
		"2001:db8:0:1:ffff:ffff:ffff:ffff": true, "2001:db8:0:2::": false, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff": false, "ffff::": false,
	} {
		if f.Blocked(netip.MustParseAddr(a)) != want {
			t.Errorf("%s: not %v", a, want)
		}
	}
	if f.Blocked(netip.Addr{}) || (*Filter)(nil).Blocked(netip.MustParseAddr("1.2.3.4")) || (*Filter)(nil).Len() != 0 {
		t.Error("nothing is blocked")
	}
}

func TestUnion(t *testing.T) {
	var fs []*Filter
	for line := range strings.Lines(mixed) {
		if f, _, err := Parse(strings.NewReader(line)); err == nil {
			fs = append(fs, f)
		}
	}
	if got := Union(append(fs, nil)...).ranges(); got != joined {
		t.Error(got)
	}
	if Union().Len() != 0 {
		t.Error("the union of nothing is something")
	}
}

func pack(t testing.TB, text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return b.Bytes()
}

func TestParsePacked(t *testing.T) {
	packed := pack(t, mixed)
	if f, _, err := Parse(iotest.OneByteReader(bytes.NewReader(packed))); err != nil || f.ranges() != joined {
		t.Errorf("%v, %v", f, err)
	}
	if _, _, err := Parse(bytes.NewReader(packed[:len(packed)-9])); err == nil {
		t.Error("half of a list is a list")
	}
	if _, _, err := Parse(bytes.NewReader(append(packed[:len(packed)-8:len(packed)-8], 1, 2, 3, 4, 5, 6, 7, 8))); !errors.Is(err, gzip.ErrChecksum) {
		t.Error(err)
	}
	if _, _, err := Parse(bytes.NewReader(packed[:3])); err == nil {
		t.Error("three bytes are a list")
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"PK\x03\x04....": "zip", "\xff\xff\xff\xffP2B\x02": "binary", "<html>\n<body>404</body>": "no list of addresses: line 1",
	} {
		if f, _, err := Parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, f, err)
		}
	}
	for _, empty := range []string{"", "# nothing\n\n", "1.2.3.4 - 1.2.3.5 , 200 , allowed\nbad"} {
		if f, _, err := Parse(strings.NewReader(empty)); err != nil || f.Len() != 0 {
			t.Errorf("%q: %v, %v", empty, f, err)
		}
	}
	broken := errors.New("broken")
	if _, _, err := Parse(io.MultiReader(strings.NewReader(mixed), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, _, err := Parse(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Error(err)
	}
	_, rep, err := Parse(strings.NewReader("1.1.1.1\n" + strings.Repeat("bad\n", 1000)))
	if err != nil || rep.Bad != 1000 || len(rep.First) != maxProblems || rep.First[maxProblems-1].Line != maxProblems+1 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// endless repeats a text for ever.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// A list that would fill the memory ends at a bound, a packed one too.
func TestParseIsBounded(t *testing.T) {
	read := func(r io.Reader) error {
		_, _, err := parse(r, &builder{maxText: 1 << 20, maxRanges: 1000})
		return err
	}
	for text, want := range map[string]string{
		"x": "longer than 1048576 bytes", strings.Repeat("#", 4000) + "\n": "longer than", "1.1.1.1\n3.3.3.3\n": "more than 1000 ranges", "::1\n::3\n": "more than 1000 ranges",
	} {
		if err := read(&endless{text: text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	bomb := pack(t, strings.Repeat("#", 8<<20))
	if err := read(bytes.NewReader(bomb)); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%d bytes unpacked: %v", len(bomb), err)
	}
}

// The filter agrees with a plain search through what was added.
func TestBlockedRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var text strings.Builder
		var all [][2]netip.Addr
		for range 1 + r.IntN(40) {
			n, size := r.Uint32N(300), r.Uint32N(10)
			first, last := addrOf4(n), addrOf4(n+size)
			if r.IntN(2) == 0 {
				first, last = addrOf6(addr6{1, uint64(n)}), addrOf6(addr6{1, uint64(n + size)})
			}
			all = append(all, [2]netip.Addr{first, last})
			fmt.Fprintf(&text, "%v-%v\n", first, last)
		}
		f, rep, err := Parse(strings.NewReader(text.String()))
		if err != nil || rep.Bad > 0 {
			t.Fatal(err, rep)
		}
		for n := range uint32(320) {
			for _, a := range []netip.Addr{addrOf4(n), addrOf6(addr6{1, uint64(n)})} {
				want := false
				for _, x := range all {
					want = want || x[0].BitLen() == a.BitLen() && x[0].Compare(a) <= 0 && a.Compare(x[1]) <= 0
				}
				if f.Blocked(a) != want {
					t.Fatalf("%v: not %v in\n%s", a, want, text.String())
				}
			}
		}
	}
}

// million is a list of a million ranges, none of which touches another.
func million() []byte {
	b := make([]byte, 0, 40<<20)
	for i := range uint32(1_000_000) {
		b = strconv.AppendUint(append(b, "name "...), uint64(i), 10)
		b = addrOf4(i * 4000).AppendTo(append(b, ':'))
		b = addrOf4(i*4000 + 1000).AppendTo(append(b, '-'))
		b = append(b, '\n')
	}
	return b
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMillionRangesAreSmall(t *testing.T) {
	text := million()
	before := heap()
	f, _, err := Parse(bytes.NewReader(text))
	if err != nil || f.Len() != 1_000_000 {
		t.Fatal(f.Len(), err)
	}
	used := heap() - before
	if used > 10<<20 {
		t.Errorf("%d bytes", used)
	}
	t.Logf("%d bytes", used)
	runtime.KeepAlive(f)
	runtime.KeepAlive(text)
}

func BenchmarkParseMillion(b *testing.B) {
	text := million()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if f, _, err := Parse(bytes.NewReader(text)); err != nil || f.Len() != 1_000_000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseMillionShuffled(b *testing.B) {
	lines := bytes.SplitAfter(million(), []byte("\n"))
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	text := bytes.Join(lines, nil)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if f, _, err := Parse(bytes.NewReader(text)); err != nil || f.Len() != 1_000_000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlocked(b *testing.B) {
	f, _, err := Parse(bytes.NewReader(million()))
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		f.Blocked(addrOf4(r.Uint32()))
	}
}

// What is blocked is in the list, whatever the list; and the list of a filter is the filter.
func FuzzParse(f *testing.F) {
	f.Add([]byte(mixed))
	f.Add(pack(f, mixed))
	f.Add([]byte("a:b:2001:db8::-2001:db8::ffff\n1.2.3.4/0\n::/0\n"))
	f.Add([]byte("x:::ffff:1.2.3.4-::ffff:1.2.3.5\n255.255.255.255\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n"))
	f.Add([]byte("1.2.3.4 - 1.2.3.5 , 99999 , x\n1.2.3.4,1\n,,\n-\n:\n/\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		filter, rep, err := Parse(bytes.NewReader(b))
		if rep.Bad+rep.Allowed > rep.Lines || len(rep.First) > maxProblems {
			t.Fatalf("%+v", rep)
		}
		if err != nil {
			return
		}
		for _, r := range filter.v4 {
			if r.last < r.first || !filter.Blocked(addrOf4(r.first)) || !filter.Blocked(addrOf4(r.last)) ||
				r.first > 0 && filter.Blocked(addrOf4(r.first-1)) || r.last+1 > 0 && filter.Blocked(addrOf4(r.last+1)) {
				t.Fatalf("%v", filter.ranges())
			}
		}
		for _, r := range filter.v6 {
			next := r.last.next()
			if r.last.compare(r.first) < 0 || !filter.Blocked(addrOf6(r.first)) || !filter.Blocked(addrOf6(r.last)) ||
				next != r.last && filter.Blocked(addrOf6(next)) {
				t.Fatalf("%v", filter.ranges())
			}
		}
		again, rep, err := Parse(strings.NewReader(strings.ReplaceAll(filter.ranges(), " ", "\n")))
		if err != nil || rep.Bad > 0 || again.ranges() != filter.ranges() {
			t.Fatalf("%v\n%v, %+v, %v", filter.ranges(), again, rep, err)
		}
	})
}
