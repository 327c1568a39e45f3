#include "textflag.h"

// One step of RC4, which makes byte k of the key stream of a block. x is S[i], which was read one step ahead: so this step's stores
// need not be done before the next step can begin. They change what was read only if j is i+1, once in 256 steps, and then S[i+1]
// becomes x. The processor guesses that branch, and else knows the next j after one addition. Additions of a byte leave the other
// bits of a register 0.
//
//	DI S   x, y S[i] and S[i+1]   a, b i and i+1   BX j   DX S[j], then S[i] + S[j]   X0 key stream
#define STEP(k, x, y, a, b, same, go)   \
	LEAL    1(a), b              \
	MOVBLZX b, b                 \
	ADDB    x, BX                \
	MOVBLZX (DI)(b*1), y         \
	MOVBLZX (DI)(BX*1), DX       \
	CMPB    b, BX                \
	JEQ     same                 \
go: \
	MOVB    x, (DI)(BX*1)        \
	MOVB    DX, (DI)(a*1)        \
	ADDB    x, DX                \
	PINSRB  $k, (DI)(DX*1), X0

#define SAME(x, y, same, go) \
same: \
	MOVL x, y \
	JMP  go

#define EVEN(k, same, go) STEP(k, CX, R8, AX, R9, same, go)
#define ODD(k, same, go) STEP(k, R8, CX, R9, AX, same, go)

// func xorBlocks(s *[256]uint8, i, j uint8, dst, src *byte, n int) uint8
TEXT ·xorBlocks(SB), NOSPLIT, $0-41
	MOVQ    s+0(FP), DI
	MOVBLZX i+8(FP), AX
	MOVBLZX j+9(FP), BX
	MOVQ    dst+16(FP), R11
	MOVQ    src+24(FP), SI
	MOVQ    n+32(FP), R10
	INCB    AX
	MOVBLZX (DI)(AX*1), CX

block:
	EVEN(0, same0, go0)
	ODD(1, same1, go1)
	EVEN(2, same2, go2)
	ODD(3, same3, go3)
	EVEN(4, same4, go4)
	ODD(5, same5, go5)
	EVEN(6, same6, go6)
	ODD(7, same7, go7)
	EVEN(8, same8, go8)
	ODD(9, same9, go9)
	EVEN(10, same10, go10)
	ODD(11, same11, go11)
	EVEN(12, same12, go12)
	ODD(13, same13, go13)
	EVEN(14, same14, go14)
	ODD(15, same15, go15)
	MOVOU (SI), X1
	PXOR  X0, X1
	MOVOU X1, (R11)
	ADDQ  $16, SI
	ADDQ  $16, R11
	DECQ  R10
	JNZ   block
	MOVB  BX, ret+40(FP)
	RET

	SAME(CX, R8, same0, go0)
	SAME(R8, CX, same1, go1)
	SAME(CX, R8, same2, go2)
	SAME(R8, CX, same3, go3)
	SAME(CX, R8, same4, go4)
	SAME(R8, CX, same5, go5)
	SAME(CX, R8, same6, go6)
	SAME(R8, CX, same7, go7)
	SAME(CX, R8, same8, go8)
	SAME(R8, CX, same9, go9)
	SAME(CX, R8, same10, go10)
	SAME(R8, CX, same11, go11)
	SAME(CX, R8, same12, go12)
	SAME(R8, CX, same13, go13)
	SAME(CX, R8, same14, go14)
	SAME(R8, CX, same15, go15)
