package dht

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"shoal/internal/dht/krpc"
	"shoal/internal/dht/table"
	"shoal/internal/ident"
)

// What can go wrong with items (BEP 44).
var (
	ErrNotFound = errors.New("the DHT has no such item")
	ErrOutdated = errors.New("the DHT has a newer item")
	ErrCAS      = errors.New("the item was changed by someone else")
	errRefused  = errors.New("no DHT node took the item")
)

const (
	republishPeriod = time.Hour
	republishRetry  = 5 * time.Minute
)

// Item is a mutable item (BEP 44): whoever has the private key may change it, and whoever has the item may store it.
type Item struct {
	Value []byte // bencoded, up to 1,000 bytes
	Key   ed25519.PublicKey
	Salt  []byte // up to 64 bytes; tells items of one key apart
	Seq   int64  // not negative; the highest is the newest
	Sig   []byte
}

// NewItem returns a signed item. The error says what BEP 44 does not allow of it.
func NewItem(key ed25519.PrivateKey, salt []byte, seq int64, value []byte) (Item, error) {
	i := Item{Value: value, Key: key.Public().(ed25519.PublicKey), Salt: salt, Seq: seq}
	if err := checkValue(value); err != nil {
		return Item{}, err
	}
	if len(salt) > krpc.MaxSalt || seq < 0 {
		return Item{}, errors.New("an item's salt has up to 64 bytes, and its number is not negative")
	}
	i.Sig = krpc.Sign(key, salt, seq, value)
	return i, nil
}

// Target returns the key under which the item is stored.
func (i Item) Target() ident.V1 { return ident.V1(krpc.Mutable(i.Key, i.Salt)) }

// Valid reports whether the item is within bounds and signed by its key.
func (i Item) Valid() bool {
	return i.Seq >= 0 && krpc.CheckValue(i.Value) == 0 && krpc.Verify(i.Key, i.Salt, i.Seq, i.Value, i.Sig)
}

func checkValue(value []byte) error {
	switch krpc.CheckValue(value) {
	case 0:
		return nil
	case krpc.ValueTooBig:
		return fmt.Errorf("the value has %d bytes, more than %d", len(value), krpc.MaxValue)
	}
	return errors.New("the value is not one bencoded value with sorted keys")
}

// GetImmutable returns the encoded value whose SHA-1 is target. The error is ErrNotFound, ErrNoNodes, ErrClosed or the context's.
func (n *Node) GetImmutable(ctx context.Context, target ident.V1) ([]byte, error) {
	var value []byte
	err := n.get(ctx, krpc.ID(target), func(m *krpc.Message) {
		if value == nil && m.Value != nil && krpc.Immutable(m.Value) == krpc.ID(target) {
			value = bytes.Clone(m.Value)
		}
	})
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, ErrNotFound
	}
	return value, nil
}

// GetMutable returns the newest item of a key and salt that is found. The error is as that of GetImmutable.
func (n *Node) GetMutable(ctx context.Context, key ed25519.PublicKey, salt []byte) (Item, error) {
	best := Item{Seq: -1}
	err := n.get(ctx, krpc.Mutable(key, salt), func(m *krpc.Message) {
		if m.Seq <= best.Seq {
			return
		}
		if i, ok := mutable(m, key, salt); ok {
			i.Value, i.Sig = bytes.Clone(m.Value), bytes.Clone(m.Sig)
			best = i
		}
	})
	if err != nil {
		return Item{}, err
	}
	if best.Seq < 0 {
		return Item{}, ErrNotFound
	}
	return best, nil
}

// get has take look at all answers to a get. What it keeps may be read if there is no error: the loop is done with it then.
func (n *Node) get(ctx context.Context, target krpc.ID, take func(m *krpc.Message)) error {
	s := n.newSearch()
	s.add(func(*table.Core) *table.Lookup {
		return &table.Lookup{
			Target: target, Ask: krpc.Message{Method: krpc.Get},
			Answer: func(m *krpc.Message, _ netip.AddrPort) { take(m) },
		}
	})
	results, err := s.run(ctx, nil)
	if nodes, _ := answered(results); err == nil && nodes == 0 {
		err = ErrNoNodes
	}
	return err
}

// PutImmutable stores a bencoded value of up to 1,000 bytes and returns its key and at how many nodes it is now. Nodes forget it after two
// hours.
func (n *Node) PutImmutable(ctx context.Context, value []byte) (target ident.V1, copies int, err error) {
	if err := checkValue(value); err != nil {
		return target, 0, err
	}
	id := krpc.Immutable(value)
	copies, err = n.put(ctx, id, nil, func(m *krpc.Message, _ int64) bool {
		m.Value = value
		return true
	})
	return ident.V1(id), copies, err
}

// PutMutable stores an item and returns at how many nodes it is now. Nothing is stored if an item with a higher number is found, which is
// ErrOutdated, or, with cas not negative, if the newest that is found has another number than cas, which is ErrCAS. Nodes forget the item
// after two hours.
func (n *Node) PutMutable(ctx context.Context, i Item, cas int64) (copies int, err error) {
	if !i.Valid() {
		return 0, errors.New("the item is out of bounds, or its signature is not right")
	}
	newest := int64(-1)
	look := func(m *krpc.Message, _ netip.AddrPort) {
		if other, ok := mutable(m, i.Key, i.Salt); ok {
			newest = max(newest, other.Seq)
		}
	}
	check := func() error {
		switch {
		case cas >= 0 && newest >= 0 && newest != cas:
			return ErrCAS
		case newest > i.Seq:
			return ErrOutdated
		}
		return nil
	}
	copies, err = n.put(ctx, krpc.ID(i.Target()), look, func(m *krpc.Message, held int64) bool {
		m.Value, m.Key, m.Salt, m.HasSeq, m.Seq, m.Sig = i.Value, i.Key, i.Salt, true, i.Seq, i.Sig
		m.HasCAS, m.CAS = cas >= 0 && held >= 0, cas
		return check() == nil
	})
	if errors.Is(err, errRefused) {
		if refused := check(); refused != nil {
			err = refused
		}
	}
	return copies, err
}

// mutable returns the item of a message, if it is one of that key and salt and signed. Its slices are those of the message.
func mutable(m *krpc.Message, key ed25519.PublicKey, salt []byte) (Item, bool) {
	i := Item{Value: m.Value, Key: key, Salt: salt, Seq: m.Seq, Sig: m.Sig}
	return i, m.HasSeq && bytes.Equal(m.Key, key) && i.Valid()
}

// put looks up the nodes for a target and has those store what fill says, which is called after look has seen all their answers.
func (n *Node) put(ctx context.Context, target krpc.ID, look func(*krpc.Message, netip.AddrPort), fill func(m *krpc.Message, held int64) bool) (copies int, err error) {
	s := n.newSearch()
	s.add(func(*table.Core) *table.Lookup {
		return &table.Lookup{
			Target: target, Ask: krpc.Message{Method: krpc.Get}, Answer: look,
			Write: func(m *krpc.Message, held int64) bool {
				m.Method = krpc.Put
				return fill(m, held)
			},
		}
	})
	results, err := s.run(ctx, nil)
	if err != nil {
		return 0, err
	}
	nodes, copies := answered(results)
	if copies > 0 {
		return copies, nil
	}
	if nodes == 0 {
		return 0, ErrNoNodes
	}
	code := int64(0)
	for _, r := range results {
		code = max(code, r.Code)
	}
	switch code {
	case krpc.CASMismatch:
		return 0, ErrCAS
	case krpc.SeqLessThanHeld:
		return 0, ErrOutdated
	}
	return 0, fmt.Errorf("%w (code %d)", errRefused, code)
}

// Republish stores an item now and again every hour, as BEP 44 asks, until the context is done, whose error it then returns, or until the
// DHT has a newer one: ErrOutdated.
func (n *Node) Republish(ctx context.Context, i Item) error {
	for {
		pause := republishPeriod
		_, err := n.PutMutable(ctx, i, -1)
		switch {
		case errors.Is(err, ErrOutdated), errors.Is(err, ErrClosed):
			return err
		case err != nil:
			pause = republishRetry
		}
		timer := time.NewTimer(pause - rand.N(pause/10))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-n.ctx.Done():
			timer.Stop()
			return ErrClosed
		}
	}
}
