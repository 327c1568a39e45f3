package ipfilter

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"strconv"
)

// Bounds of a list. The longest known ones have some 10⁶ ranges in 60 MB.
const (
	maxText     = 256 << 20 // bytes, unpacked
	maxRanges   = 4 << 20
	maxLine     = 4 << 10 // bytes of a line; a longer one is a bad one
	maxProblems = 10      // bad lines that are named
	maxQuote    = 80      // bytes of a bad line that are quoted
	blockedUpTo = 127     // the highest level of eMule's that is blocked
)

// Report tells what was found in a list.
type Report struct {
	Lines   int       // all
	Allowed int       // lines of eMule's format whose level lets them through
	Bad     int       // lines that were not understood
	First   []Problem // the first few of those
}

// Problem is a line that was not understood.
type Problem struct {
	Line int    // from 1
	Text string // its beginning
	Err  error
}

// String names line, text and what is wrong.
func (p Problem) String() string { return fmt.Sprintf("line %d: %v: %q", p.Line, p.Err, p.Text) }

// Parse reads a list, which may be packed with gzip. Every line is understood by its own look:
//
//	name:1.2.3.4-5.6.7.8                     PeerGuardian's P2P text; the name may have colons
//	001.002.003.004 - 005.006.007.008 , 100 , name    eMule's ipfilter.dat; levels up to 127 are blocked
//	1.2.3.0/24   1.2.3.4-5.6.7.8   1.2.3.4   a prefix, a range, an address
//
// Addresses are IPv4, zero-padded or not, or IPv6. What follows # or ; behind a prefix, a range or an address is a comment, and so are
// lines that begin with #, ; or //. Lines that are not understood are skipped and reported. The error is that there is no list: it
// cannot be read to its end, is too long, or has bad lines only.
func Parse(r io.Reader) (*Filter, Report, error) {
	return parse(r, &builder{maxText: maxText, maxRanges: maxRanges})
}

func parse(r io.Reader, b *builder) (*Filter, Report, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var rep Report
	magic, err := in.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, rep, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, rep, err
		}
		in = bufio.NewReaderSize(z, 64<<10)
	case bytes.HasPrefix(magic, []byte("PK\x03\x04")):
		return nil, rep, errors.New("a zip archive: it has to be unpacked first")
	case bytes.HasPrefix(magic, []byte("\xff\xff\xff\xffP2B")):
		return nil, rep, errors.New("PeerGuardian's binary format is not supported: its text format is")
	}
	if bom, _ := in.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = in.Discard(3)
	}
	if err := b.read(in, &rep); err != nil {
		return nil, rep, err
	}
	if b.len() == 0 && rep.Bad > 0 && rep.Allowed == 0 {
		return nil, rep, fmt.Errorf("no list of addresses: %v", rep.First[0])
	}
	return b.filter(), rep, nil
}

// read reads all lines.
func (b *builder) read(in *bufio.Reader, rep *Report) error {
	total := 0
	for {
		line, err := in.ReadSlice('\n')
		size := len(line)
		long := size > maxLine
		quote := line[:min(size, maxQuote)]
		if errors.Is(err, bufio.ErrBufferFull) {
			quote = bytes.Clone(quote) // what follows overwrites it
			for errors.Is(err, bufio.ErrBufferFull) && total+size <= b.maxText {
				line, err = in.ReadSlice('\n')
				size += len(line)
			}
			long = true
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("line %d: %w", rep.Lines+1, err)
		}
		if size == 0 {
			return nil
		}
		rep.Lines++
		if total += size; total > b.maxText {
			return fmt.Errorf("longer than %d bytes", b.maxText)
		}
		switch {
		case long:
			rep.bad(quote, errTooLong)
		default:
			b.line(line, rep)
		}
		if b.len() > b.maxRanges {
			return fmt.Errorf("more than %d ranges", b.maxRanges)
		}
	}
}

var (
	errTooLong  = errors.New("too long for a line")
	errNoRange  = errors.New("neither a range, nor a prefix, nor an address")
	errFamilies = errors.New("a range from one family of addresses to the other")
	errReversed = errors.New("the range ends before it begins")
)

func (r *Report) bad(line []byte, err error) {
	r.Bad++
	if len(r.First) < maxProblems {
		line = bytes.TrimRight(line[:min(len(line), maxQuote)], "\r\n")
		r.First = append(r.First, Problem{r.Lines, string(line), err})
	}
}

// line takes one line.
func (b *builder) line(line []byte, rep *Report) {
	text := bytes.TrimSpace(line)
	if len(text) == 0 || text[0] == '#' || text[0] == ';' || bytes.HasPrefix(text, []byte("//")) {
		return
	}
	first, last, level, err := parseLine(text)
	switch {
	case err != nil:
		rep.bad(line, err)
	case level > blockedUpTo:
		rep.Allowed++
	default:
		b.add(first, last)
	}
}

// parseLine understands one line by its look. The level is 0 where the format has none.
func parseLine(text []byte) (first, last netip.Addr, level int, err error) {
	address := isHex(text[0]) || text[0] == ':'
	if address {
		plain := text
		if i := bytes.IndexAny(text, "#;"); i >= 0 {
			plain = text[:i]
		}
		head, rest, comma := bytes.Cut(plain, []byte{','})
		if comma {
			field, _, _ := bytes.Cut(rest, []byte{','})
			if n, ok := number(bytes.TrimSpace(field)); ok {
				first, last, err = parseRange(head)
				return first, last, n, err
			}
		} else if first, last, err = parseRange(plain); err == nil || !errors.Is(err, errNoRange) {
			return first, last, 0, err
		}
	}
	if colon := bytes.LastIndexByte(text, ':'); colon >= 0 {
		if rest := text[colon+1:]; bytes.ContainsAny(rest, "-/") {
			first, last, err = parseRange(rest)
			return first, last, 0, err
		}
		first, last, err = namedRange(text)
		return first, last, 0, err
	}
	return first, last, 0, errNoRange
}

// namedRange reads name:first-last where last is written with colons. Where the name ends is open, for it may look like the beginning of
// an address: of all beginnings that make sense, the one that has most in common with the end of the range is taken.
func namedRange(text []byte) (first, last netip.Addr, err error) {
	dash := bytes.LastIndexByte(text, '-')
	if dash < 0 {
		return first, last, errNoRange
	}
	if last, err = parseAddr(bytes.TrimSpace(text[dash+1:])); err != nil {
		return first, last, err
	}
	text = bytes.TrimSpace(text[:dash])
	const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
	best := -1
	for i := max(0, len(text)-longest-1); i < len(text); i++ {
		if text[i] != ':' {
			continue
		}
		if a, err := parseAddr(text[i+1:]); err == nil && a.Is4() == last.Is4() && commonBits(a, last) > best {
			first, best = a, commonBits(a, last)
		}
	}
	switch {
	case best < 0:
		return first, last, errNoRange
	case last.Less(first):
		return first, last, errReversed
	}
	return first, last, nil
}

// commonBits returns how many leading bits two addresses of one family share.
func commonBits(a, b netip.Addr) int {
	x, y := number6(a), number6(b)
	if x.high != y.high {
		return bits.LeadingZeros64(x.high ^ y.high)
	}
	return 64 + bits.LeadingZeros64(x.low^y.low)
}

// parseRange reads a prefix, a range or an address.
func parseRange(text []byte) (first, last netip.Addr, err error) {
	text = bytes.TrimSpace(text)
	if slash := bytes.IndexByte(text, '/'); slash >= 0 {
		a, err := parseAddr(bytes.TrimSpace(text[:slash]))
		if err != nil {
			return first, last, err
		}
		length, ok := number(bytes.TrimSpace(text[slash+1:]))
		if !ok || length > a.BitLen() {
			return first, last, errNoRange
		}
		first, last = ends(a, length)
		return first, last, nil
	}
	from, to, isRange := bytes.Cut(text, []byte{'-'})
	if first, err = parseAddr(bytes.TrimSpace(from)); err != nil || !isRange {
		return first, first, err
	}
	if last, err = parseAddr(bytes.TrimSpace(to)); err != nil {
		return first, last, err
	}
	switch {
	case first.Is4() != last.Is4():
		return first, last, errFamilies
	case last.Less(first):
		return first, last, errReversed
	}
	return first, last, nil
}

// ends returns the first and the last address of a prefix. Bits of a behind it do not count.
func ends(a netip.Addr, length int) (first, last netip.Addr) {
	b := a.AsSlice()
	for i := length; i < 8*len(b); i++ {
		b[i/8] &^= 0x80 >> (i % 8)
	}
	first, _ = netip.AddrFromSlice(b)
	for i := length; i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ = netip.AddrFromSlice(b)
	return first, last
}

// parseAddr reads an address: IPv4 with up to three digits for each byte, zero-padded or not, or IPv6. One mapped into IPv6 is IPv4.
func parseAddr(text []byte) (netip.Addr, error) {
	if a, ok := parse4(text); ok {
		return a, nil
	}
	if bytes.IndexByte(text, ':') < 0 || len(text) > 45 {
		return netip.Addr{}, errNoRange
	}
	a, err := netip.ParseAddr(string(text))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, errNoRange
	}
	return a.Unmap(), nil
}

func parse4(text []byte) (netip.Addr, bool) {
	var b [4]byte
	i := 0
	for part := range b {
		n, digits := 0, 0
		for ; i < len(text) && text[i] >= '0' && text[i] <= '9' && digits < 3; i++ {
			n = 10*n + int(text[i]-'0')
			digits++
		}
		if digits == 0 || n > 255 {
			return netip.Addr{}, false
		}
		b[part] = byte(n)
		if part < 3 {
			if i >= len(text) || text[i] != '.' {
				return netip.Addr{}, false
			}
			i++
		}
	}
	return netip.AddrFrom4(b), i == len(text)
}

// number reads a decimal number of up to five digits.
func number(text []byte) (int, bool) {
	if len(text) == 0 || len(text) > 5 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text), 10, 16)
	return int(n), err == nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
