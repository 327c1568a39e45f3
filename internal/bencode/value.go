// Package bencode reads and writes the encoding of BEP 3: integers, byte strings, lists and dictionaries.
//
// Reading builds no tree. Parse checks the whole input once, and a Value is a view into it that is navigated lazily,
// so that a hostile input costs time linear in its length and next to no memory.
package bencode

import (
	"bytes"
	"iter"
)

// Kind is the type of a value.
type Kind uint8

// The kinds of value. Invalid is that of the zero Value.
const (
	Invalid Kind = iota
	Int
	String
	List
	Dict
)

var kindNames = [...]string{"nothing", "integer", "string", "list", "dictionary"}

// String returns the kind's name as error messages use it.
func (k Kind) String() string { return kindNames[k] }

// Value is one checked value: a view into the bytes that were parsed, which must not change while it is used.
// Asking a value for what it is not gives false or nothing, never a panic.
type Value struct {
	raw []byte
}

// Kind returns the type of the value.
func (v Value) Kind() Kind {
	if len(v.raw) == 0 {
		return Invalid
	}
	switch v.raw[0] {
	case 'i':
		return Int
	case 'l':
		return List
	case 'd':
		return Dict
	}
	return String
}

// Raw returns exactly the bytes of the value's encoding, nil for the zero Value. They are shared with the input.
func (v Value) Raw() []byte { return v.raw }

// Int returns the integer.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Int {
		return 0, false
	}
	s := scanner{b: v.raw}
	n, err := s.integer()
	return n, err == nil
}

// Bytes returns the string's bytes, shared with the input.
func (v Value) Bytes() ([]byte, bool) {
	if v.Kind() != String {
		return nil, false
	}
	return v.raw[bytes.IndexByte(v.raw, ':')+1:], true
}

// Str returns a copy of the string.
func (v Value) Str() (string, bool) {
	b, ok := v.Bytes()
	return string(b), ok
}

// List returns the items of a list, in order.
func (v Value) List() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != List {
			return
		}
		s := scanner{b: v.raw, pos: 1}
		for s.b[s.pos] != 'e' {
			if !yield(s.next()) {
				return
			}
		}
	}
}

// Dict returns the entries of a dictionary, in the order in which they were encoded.
func (v Value) Dict() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Dict {
			return
		}
		s := scanner{b: v.raw, pos: 1}
		for s.b[s.pos] != 'e' {
			key, _ := s.next().Bytes()
			if !yield(string(key), s.next()) {
				return
			}
		}
	}
}

// Get returns the value of a key of a dictionary.
func (v Value) Get(key string) (Value, bool) {
	if v.Kind() != Dict {
		return Value{}, false
	}
	s := scanner{b: v.raw, pos: 1}
	for s.b[s.pos] != 'e' {
		k, _ := s.next().Bytes()
		item := s.next()
		if string(k) == key {
			return item, true
		}
	}
	return Value{}, false
}

// Len returns the number of bytes of a string, items of a list or entries of a dictionary, else 0. For lists and
// dictionaries it counts them.
func (v Value) Len() int {
	n := 0
	switch v.Kind() {
	case String:
		b, _ := v.Bytes()
		n = len(b)
	case List:
		for range v.List() {
			n++
		}
	case Dict:
		s := scanner{b: v.raw, pos: 1}
		for s.b[s.pos] != 'e' {
			s.skip()
			s.skip()
			n++
		}
	}
	return n
}

// Canonical reports whether the keys of every dictionary in the value are sorted, as BEP 3 asks. Then encoding what
// it means gives Raw again.
func (v Value) Canonical() bool {
	s := scanner{b: v.raw}
	return s.value(0) == nil && !s.unsorted
}
