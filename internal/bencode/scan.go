package bencode

import (
	"bytes"
	"fmt"
	"math"
	"slices"
)

// Limits of Parse.
const (
	MaxDepth = 64      // lists and dictionaries inside one another
	MaxNodes = 1 << 24 // values in one input, keys included: a torrent of 2 million files has about 14 million
	MaxSize  = 1 << 30 // bytes
)

// SyntaxError says what is wrong with an input and where.
type SyntaxError struct {
	Offset int // bytes from the start of the input
	What   string
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("bencode: %s at byte %d", e.What, e.Offset) }

// Parse checks that b is one value and nothing else. Integers must be in their only correct form and fit 64 bits;
// dictionaries may be unsorted, as those of real torrents are, but may not repeat a key. The error is a *SyntaxError.
func Parse(b []byte) (Value, error) {
	v, rest, err := ParsePrefix(b)
	if err == nil && len(rest) > 0 {
		return Value{}, &SyntaxError{len(b) - len(rest), fmt.Sprintf("%d bytes after the value", len(rest))}
	}
	return v, err
}

// ParsePrefix is Parse for a value that is followed by other data, which it returns (BEP 9 messages are so).
func ParsePrefix(b []byte) (v Value, rest []byte, err error) {
	s := scanner{b: b}
	if len(b) > MaxSize {
		s.b = b[:MaxSize]
	}
	if err := s.value(0); err != nil {
		return Value{}, nil, err
	}
	return Value{b[:s.pos:s.pos]}, b[s.pos:], nil
}

// scanner walks an encoding. Its methods that return an error check what they walk over; next and skip rely on that.
type scanner struct {
	b        []byte
	pos      int
	nodes    int
	unsorted bool // a dictionary's keys were out of order
}

func (s *scanner) fail(what string) error { return &SyntaxError{s.pos, what} }

// value checks the value at pos, inside depth others, and moves behind it.
func (s *scanner) value(depth int) error {
	if s.nodes++; s.nodes > MaxNodes {
		return s.fail(fmt.Sprintf("more than %d values", MaxNodes))
	}
	if s.pos >= len(s.b) {
		return s.fail("unexpected end")
	}
	switch c := s.b[s.pos]; {
	case c == 'i':
		_, err := s.integer()
		return err
	case c >= '0' && c <= '9':
		_, err := s.str()
		return err
	case c != 'l' && c != 'd':
		return s.fail(fmt.Sprintf("unexpected byte %q", c))
	case depth == MaxDepth:
		return s.fail(fmt.Sprintf("more than %d levels", MaxDepth))
	case c == 'l':
		return s.list(depth + 1)
	}
	return s.dict(depth + 1)
}

func (s *scanner) list(depth int) error {
	s.pos++
	for s.pos < len(s.b) && s.b[s.pos] != 'e' {
		if err := s.value(depth); err != nil {
			return err
		}
	}
	return s.end()
}

// end moves behind the 'e' of a list or dictionary.
func (s *scanner) end() error {
	if s.pos >= len(s.b) {
		return s.fail("unexpected end")
	}
	s.pos++
	return nil
}

func (s *scanner) dict(depth int) error {
	start, sorted := s.pos, true
	s.pos++
	var last []byte
	for first := true; s.pos < len(s.b) && s.b[s.pos] != 'e'; first = false {
		if c := s.b[s.pos]; c < '0' || c > '9' {
			return s.fail(fmt.Sprintf("key begins with %q, not a length", c))
		}
		at := s.pos
		key, err := s.str()
		if err != nil {
			return err
		}
		if s.nodes++; !first {
			switch bytes.Compare(last, key) {
			case 0:
				return duplicate(at, key)
			case 1:
				sorted = false
			}
		}
		last = key
		if err := s.value(depth); err != nil {
			return err
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	if sorted {
		return nil
	}
	s.unsorted = true
	return s.distinct(start)
}

func duplicate(at int, key []byte) error {
	return &SyntaxError{at, fmt.Sprintf("repeated key %.40q", key)}
}

// distinct checks the keys of an unsorted dictionary, from start to pos, against one another. It is the one thing
// here that takes memory: four bytes a key.
func (s *scanner) distinct(start int) error {
	w := scanner{b: s.b, pos: start + 1}
	var keys []uint32
	for w.b[w.pos] != 'e' {
		keys = append(keys, uint32(w.pos))
		w.skip()
		w.skip()
	}
	at := func(pos uint32) []byte {
		w.pos = int(pos)
		key, _ := w.str()
		return key
	}
	slices.SortFunc(keys, func(i, j uint32) int { return bytes.Compare(at(i), at(j)) })
	for i := 1; i < len(keys); i++ {
		if key := at(keys[i]); bytes.Equal(at(keys[i-1]), key) {
			return duplicate(int(max(keys[i-1], keys[i])), key)
		}
	}
	return nil
}

// digits reads an unsigned number without leading zeros that ends before the byte end, and moves behind that.
func (s *scanner) digits(end byte, limit uint64) (uint64, error) {
	start := s.pos
	var n uint64
	for ; s.pos < len(s.b); s.pos++ {
		c := s.b[s.pos]
		switch {
		case c >= '0' && c <= '9':
			d := uint64(c - '0')
			if n > (limit-d)/10 {
				return 0, &SyntaxError{start, "number too large"}
			}
			n = n*10 + d
			continue
		case c != end:
			return 0, s.fail(fmt.Sprintf("unexpected byte %q in a number", c))
		case s.pos == start:
			return 0, s.fail("number without digits")
		case s.b[start] == '0' && s.pos > start+1:
			return 0, &SyntaxError{start, "number with a leading zero"}
		}
		s.pos++
		return n, nil
	}
	return 0, s.fail("unexpected end")
}

// integer reads the integer at pos, whose 'i' was seen.
func (s *scanner) integer() (int64, error) {
	s.pos++
	if s.pos < len(s.b) && s.b[s.pos] == '-' {
		start := s.pos
		s.pos++
		n, err := s.digits('e', -math.MinInt64)
		if err == nil && n == 0 {
			err = &SyntaxError{start, "negative zero"}
		}
		return int64(-n), err
	}
	n, err := s.digits('e', math.MaxInt64)
	return int64(n), err
}

// str reads the string at pos.
func (s *scanner) str() ([]byte, error) {
	start := s.pos
	n, err := s.digits(':', math.MaxInt32)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(s.b)-s.pos) {
		return nil, &SyntaxError{start, fmt.Sprintf("string of %d bytes, of which %d are there", n, len(s.b)-s.pos)}
	}
	s.pos += int(n)
	return s.b[s.pos-int(n) : s.pos : s.pos], nil
}

// next returns the checked value at pos and moves behind it.
func (s *scanner) next() Value {
	start := s.pos
	s.skip()
	return Value{s.b[start:s.pos:s.pos]}
}

// skip moves behind the checked value at pos.
func (s *scanner) skip() {
	for depth := 0; ; {
		switch s.b[s.pos] {
		case 'i':
			s.pos += bytes.IndexByte(s.b[s.pos:], 'e') + 1
		case 'l', 'd':
			depth++
			s.pos++
		case 'e':
			depth--
			s.pos++
		default:
			n := 0
			for ; s.b[s.pos] != ':'; s.pos++ {
				n = n*10 + int(s.b[s.pos]-'0')
			}
			s.pos += 1 + n
		}
		if depth == 0 {
			return
		}
	}
}
