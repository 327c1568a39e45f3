package mse

import (
	"crypto/rand"
	"math/big"
)

// prime is P of the exchange, a safe prime, whose generator is 2. As (P-1)/2 is prime too, the only public keys that would give the
// secret away are 0, 1 and P-1.
var (
	prime, _ = new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"+
		"EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563", 16)
	generator = big.NewInt(2)
	one       = big.NewInt(1)
	last      = new(big.Int).Sub(prime, one)
)

// exponentLen is the length of a private key in bytes: as many bits as the specification finds to be enough.
const exponentLen = 20

// keyPair is our side of one exchange.
type keyPair struct {
	private *big.Int
	public  [keyLen]byte
}

func newKeyPair() *keyPair {
	var x [exponentLen]byte
	_, _ = rand.Read(x[:]) // never fails
	return keyPairOf(x[:])
}

func keyPairOf(private []byte) *keyPair {
	p := &keyPair{private: new(big.Int).SetBytes(private)}
	new(big.Int).Exp(generator, p.private, prime).FillBytes(p.public[:])
	return p
}

// secret returns S, unless the other side's public key is none.
func (p *keyPair) secret(theirs *[keyLen]byte) ([]byte, bool) {
	y := new(big.Int).SetBytes(theirs[:])
	if y.Cmp(one) <= 0 || y.Cmp(last) >= 0 {
		return nil, false
	}
	return y.Exp(y, p.private, prime).FillBytes(make([]byte, keyLen)), true
}
